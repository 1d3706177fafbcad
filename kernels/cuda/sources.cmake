# LIKENESS_CUDA_SOURCES: what nvcc compiles, and what tests/emulator compiles with the host's compiler.
# LIKENESS_CUDA_ROOT is the root of the repository, LIKENESS_CUDNN says whether there is cuDNN, and
# cmake/LikenessKernels.cmake has stamped the units and tables of metrics.
set(LIKENESS_CUDA_SOURCES
    ${LIKENESS_CUDA_ROOT}/kernels/cuda/graph_cache.cc
    ${LIKENESS_CUDA_ROOT}/kernels/cuda/launches.cc
    ${LIKENESS_CUDA_ROOT}/kernels/cuda/memory_pool.cc
    ${LIKENESS_CUDA_ROOT}/kernels/cuda/owners.cc
    ${LIKENESS_CUDA_ROOT}/kernels/cuda/probe.cc
    ${LIKENESS_CUDA_ROOT}/kernels/metrics/slot_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/correlate/correlate_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/correlate_bank/correlate_bank_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/conv_trunk/device_trunks.cc
    ${LIKENESS_CUDA_ROOT}/kernels/ops/cuda_device.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/fft/fft_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/fft/fft_plans.cc
    ${LIKENESS_CUDA_ROOT}/kernels/ops/filter_bank/device_banks.cc
    ${LIKENESS_CUDA_ROOT}/kernels/ops/filter_bank/filter_bank_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/load/load_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/order/order_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/permute/permute_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/pool/pool_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/pyramid/pyramid_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/reduce/reduce_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/resample/resample_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/ffl_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/flip_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/gmsd_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/ms_ssim_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/pointwise_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/ssim_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/ssimulacra2_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/walks/walks_cuda.cu
    ${LIKENESS_CUDA_UNITS})
if(LIKENESS_CUDNN)
  list(
    APPEND
    LIKENESS_CUDA_SOURCES
    ${LIKENESS_CUDA_ROOT}/kernels/ops/conv_trunk/conv_plans.cc
    ${LIKENESS_CUDA_ROOT}/kernels/ops/conv_trunk/conv_trunk_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/conv_trunk/moments_cuda.cu
    ${LIKENESS_CUDA_ROOT}/kernels/ops/conv_trunk/tap_distance_cuda.cu
    ${LIKENESS_CUDNN_TABLE}
    ${LIKENESS_CUDNN_UNITS})
else()
  list(APPEND LIKENESS_CUDA_SOURCES ${LIKENESS_CUDA_ROOT}/kernels/ops/conv_trunk/conv_plans_none.cc
       ${LIKENESS_CUDA_TABLE})
endif()
