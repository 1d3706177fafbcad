// cuDNN in plain loops: see include/cudnn.h.
#include <cuda_fp16.h>
#include <cudnn.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "tests/emulator/control.h"
#include "tests/emulator/runtime.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  bool set = false;
  cudnnDataType_t type;
  std::array<int, 4> n;       // n, c, h, w
  std::array<int, 4> stride;  // likewise, in samples

  std::int64_t Extent() const {  // samples from the first to behind the last
    std::int64_t last = 0;
    for (int axis = 0; axis < 4; ++axis) last += std::int64_t{n[axis] - 1} * stride[axis];
    return last + 1;
  }
};
struct cudnnFilterStruct {
  bool set = false;
  cudnnDataType_t type;
  cudnnTensorFormat_t format;
  int k, c, h, w;
};
struct cudnnConvolutionStruct {
  bool set = false;
  int padding[2];
  int stride[2];
  int dilation[2];
  cudnnConvolutionMode_t mode;
  cudnnDataType_t compute_type;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};
struct cudnnActivationStruct {
  bool set = false;
  cudnnActivationMode_t mode;
  cudnnNanPropagation_t nan;
};

namespace likeness::emulator {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

int refused_images = 0;
int reordered_channels = 0;

// All that is alive, so that a stale pointer is an error and not a crash.
std::set<const void*> alive;

template <class Struct>
cudnnStatus_t Make(Struct** out) {
  const std::lock_guard lock(DeviceMutex());
  if (out == nullptr) return CUDNN_STATUS_BAD_PARAM;
  *out = new Struct;
  alive.insert(*out);
  CountHandles(1);
  return CUDNN_STATUS_SUCCESS;
}

template <class Struct>
cudnnStatus_t Destroy(Struct* made) {
  const std::lock_guard lock(DeviceMutex());
  if (alive.erase(made) == 0) return CUDNN_STATUS_BAD_PARAM;
  delete made;
  CountHandles(-1);
  return CUDNN_STATUS_SUCCESS;
}

// Sets a descriptor that is alive.
template <class Struct, class Body>
cudnnStatus_t Set(Struct* made, Body body) {
  const std::lock_guard lock(DeviceMutex());
  if (alive.count(made) == 0) return CUDNN_STATUS_BAD_PARAM;
  return body(*made);
}

bool IsSet(const cudnnTensorStruct* t) { return alive.count(t) != 0 && t->set; }

// A pixel's channels together, rows without gaps; images may lie apart.
bool IsHwcPacked(const cudnnTensorStruct& t) {
  const auto [n, c, h, w] = t.n;
  return t.stride[1] == 1 && t.stride[3] == c && t.stride[2] == w * c && (n == 1 || t.stride[0] >= h * w * c);
}

std::size_t SampleBytes(cudnnDataType_t type) { return type == CUDNN_DATA_HALF ? 2 : 4; }

// What a filter of NHWC, float or half, is documented to go with.
cudnnStatus_t CheckConvolution(const cudnnTensorStruct* x, const cudnnFilterStruct* w,
                               const cudnnConvolutionStruct* convolution, const cudnnTensorStruct* y,
                               cudnnConvolutionFwdAlgo_t algorithm) {
  if (!IsSet(x) || !IsSet(y) || alive.count(w) == 0 || !w->set || alive.count(convolution) == 0 || !convolution->set) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  const auto& pad = convolution->padding;
  if (x->n[0] != y->n[0] || x->n[1] != w->c || y->n[1] != w->k || x->type != w->type || x->type != y->type ||
      y->n[2] != x->n[2] + 2 * pad[0] - w->h + 1 || y->n[3] != x->n[3] + 2 * pad[1] - w->w + 1) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  const bool half = x->type == CUDNN_DATA_HALF;
  if ((refused_images > 0 && x->n[0] >= refused_images) ||
      algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM || w->format != CUDNN_TENSOR_NHWC ||
      convolution->stride[0] != 1 || convolution->stride[1] != 1 || convolution->dilation[0] != 1 ||
      convolution->dilation[1] != 1 || convolution->mode != CUDNN_CROSS_CORRELATION ||
      convolution->compute_type != CUDNN_DATA_FLOAT || x->type == CUDNN_DATA_DOUBLE || !IsHwcPacked(*x) ||
      !IsHwcPacked(*y)) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  // The default would take TF32 where the other side of a test expects float32; tensor cores want eights.
  if (convolution->math != (half ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH)) return CUDNN_STATUS_NOT_SUPPORTED;
  if (half && (w->c % 8 != 0 || w->k % 8 != 0)) return CUDNN_STATUS_NOT_SUPPORTED;
  return CUDNN_STATUS_SUCCESS;
}

std::size_t WorkspaceBytes(const cudnnTensorStruct& y) { return std::size_t{16} * y.n[0] * y.n[2] * y.n[3] + 256; }

struct Work {
  cudnnTensorStruct x_shape, y_shape;
  cudnnFilterStruct filter;
  int padding[2];
  bool relu;
  bool reordered;  // sums
  float alpha1, alpha2;
  const void* x;
  const void* w;
  const void* bias;
  void* y;
  void* workspace;
  std::size_t workspace_bytes;
};

float Read(cudnnDataType_t type, const void* data, std::int64_t at) {
  if (type == CUDNN_DATA_HALF) return __half2float(static_cast<const __half*>(data)[at]);
  return static_cast<const float*>(data)[at];
}
void Write(cudnnDataType_t type, void* data, std::int64_t at, float value) {
  if (type == CUDNN_DATA_HALF) {
    static_cast<__half*>(data)[at] = __float2half_rn(value);
  } else {
    static_cast<float*>(data)[at] = value;
  }
}

// [k][h][w][c] to [h][w][c][k], so that the inner loop goes over what lies together.
std::vector<float> Transposed(const Work& work) {
  const cudnnFilterStruct& f = work.filter;
  const std::int64_t taps = std::int64_t{f.h} * f.w * f.c;
  std::vector<float> weights(taps * f.k);
  for (std::int64_t k = 0; k < f.k; ++k) {
    for (std::int64_t tap = 0; tap < taps; ++tap) weights[tap * f.k + k] = Read(f.type, work.w, k * taps + tap);
  }
  return weights;
}

void Run(const Work& work) {
  CheckStillOwned(work.workspace, work.workspace_bytes);
  const cudnnFilterStruct& f = work.filter;
  const cudnnDataType_t type = f.type;
  const std::vector<float> weights = Transposed(work);
  const auto [images, channels, height, width] = work.y_shape.n;
  std::vector<float> input(work.x_shape.Extent());
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = Read(type, work.x, static_cast<std::int64_t>(i));
  std::vector<float> sums(channels);
  for (int image = 0; image < images; ++image) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int ky = 0; ky < f.h; ++ky) {
          const int from_y = y + ky - work.padding[0];
          if (from_y < 0 || from_y >= work.x_shape.n[2]) continue;
          for (int kx = 0; kx < f.w; ++kx) {
            const int from_x = x + kx - work.padding[1];
            if (from_x < 0 || from_x >= work.x_shape.n[3]) continue;
            const float* pixel =
                &input[std::int64_t{image} * work.x_shape.stride[0] + std::int64_t{from_y} * work.x_shape.stride[2] +
                       from_x * work.x_shape.stride[3]];
            const float* taps = &weights[(std::int64_t{ky} * f.w + kx) * f.c * f.k];
            for (int i = 0; i < f.c; ++i) {
              const int c = work.reordered ? f.c - 1 - i : i;
              for (int k = 0; k < f.k; ++k) sums[k] += pixel[c] * taps[c * f.k + k];
            }
          }
        }
        const std::int64_t at = std::int64_t{image} * work.y_shape.stride[0] +
                                std::int64_t{y} * work.y_shape.stride[2] + x * work.y_shape.stride[3];
        for (int k = 0; k < channels; ++k) {
          float value = work.alpha1 * sums[k] + Read(type, work.bias, k);
          if (work.alpha2 != 0.0f) value += work.alpha2 * Read(type, work.y, at + k);
          if (work.relu) value = value > 0.0f ? value : 0.0f;
          Write(type, work.y, at + k, value);
        }
      }
    }
  }
  std::fill_n(static_cast<float*>(work.workspace), work.workspace_bytes / sizeof(float), kNaN);
}

bool Aligned(const void* data) { return data != nullptr && reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }

bool InDevice(const void* data, std::int64_t samples, cudnnDataType_t type) {
  return WhereIs(data, static_cast<std::size_t>(samples) * SampleBytes(type)) == Where::kDevice;
}

}  // namespace
}  // namespace likeness::emulator

// cuDNN's names are in the global namespace.
using namespace likeness::emulator;  // NOLINT

void RefuseEmulatedConvolutions(int images) {
  const std::lock_guard lock(DeviceMutex());
  refused_images = images;
}

void ReorderEmulatedConvolutions(int channels) {
  const std::lock_guard lock(DeviceMutex());
  reordered_channels = channels;
}

std::size_t cudnnGetVersion() { return 90000; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : "an error of the emulated cuDNN";
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  {
    const std::lock_guard lock(DeviceMutex());
    if (Finish(Broken()) != cudaSuccess) return CUDNN_STATUS_NOT_INITIALIZED;
  }
  return Make(handle);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { return Destroy(handle); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return Set(handle, [&](cudnnContext& context) {
    context.stream = stream;
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensor) { return Make(tensor); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) { return Destroy(tensor); }
cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t tensor, cudnnDataType_t type, int n, int c, int h,
                                           int w, int n_stride, int c_stride, int h_stride, int w_stride) {
  return Set(tensor, [&](cudnnTensorStruct& t) {
    if (n < 1 || c < 1 || h < 1 || w < 1 || n_stride < 1 || c_stride < 1 || h_stride < 1 || w_stride < 1) {
      return CUDNN_STATUS_BAD_PARAM;
    }
    const cudnnTensorStruct set{true, type, {n, c, h, w}, {n_stride, c_stride, h_stride, w_stride}};
    // Gaps included.
    if (set.Extent() > std::numeric_limits<int>::max()) return CUDNN_STATUS_NOT_SUPPORTED;
    t = set;
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* filter) { return Make(filter); }
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter) { return Destroy(filter); }
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
  return Set(filter, [&](cudnnFilterStruct& f) {
    if (k < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
    f = {true, type, format, k, c, h, w};
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* convolution) { return Make(convolution); }
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t convolution) {
  return Destroy(convolution);
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convolution, int pad_h, int pad_w,
                                              int stride_h, int stride_w, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t compute_type) {
  return Set(convolution, [&](cudnnConvolutionStruct& c) {
    if (pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1 || dilation_h < 1 || dilation_w < 1) {
      return CUDNN_STATUS_BAD_PARAM;
    }
    c = {true, {pad_h, pad_w}, {stride_h, stride_w}, {dilation_h, dilation_w}, mode, compute_type};
    return CUDNN_STATUS_SUCCESS;
  });
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convolution, cudnnMathType_t math) {
  return Set(convolution, [&](cudnnConvolutionStruct& c) {
    c.math = math;
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t* activation) { return Make(activation); }
cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t activation) { return Destroy(activation); }
cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t activation, cudnnActivationMode_t mode,
                                           cudnnNanPropagation_t nan, double) {
  return Set(activation, [&](cudnnActivationStruct& a) {
    a = {true, mode, nan};
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle, cudnnTensorDescriptor_t x,
                                                      cudnnFilterDescriptor_t w,
                                                      cudnnConvolutionDescriptor_t convolution,
                                                      cudnnTensorDescriptor_t y, cudnnConvolutionFwdAlgo_t algorithm,
                                                      std::size_t* bytes) {
  return Set(handle, [&](cudnnContext&) {
    const cudnnStatus_t status = CheckConvolution(x, w, convolution, y, algorithm);
    if (status == CUDNN_STATUS_SUCCESS) *bytes = WorkspaceBytes(*y);
    return status;
  });
}

cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void* alpha1, cudnnTensorDescriptor_t x_descriptor, const void* x,
    cudnnFilterDescriptor_t w_descriptor, const void* w, cudnnConvolutionDescriptor_t convolution,
    cudnnConvolutionFwdAlgo_t algorithm, void* workspace, std::size_t workspace_bytes, const void* alpha2,
    cudnnTensorDescriptor_t z_descriptor, const void* z, cudnnTensorDescriptor_t bias_descriptor, const void* bias,
    cudnnActivationDescriptor_t activation, cudnnTensorDescriptor_t y_descriptor, void* y) {
  return Set(handle, [&](cudnnContext& context) {
    const cudnnStatus_t status = CheckConvolution(x_descriptor, w_descriptor, convolution, y_descriptor, algorithm);
    if (status != CUDNN_STATUS_SUCCESS) return status;
    if (alpha1 == nullptr || alpha2 == nullptr || !IsSet(z_descriptor) || !IsSet(bias_descriptor) ||
        alive.count(activation) == 0 || !activation->set || workspace_bytes < WorkspaceBytes(*y_descriptor)) {
      return CUDNN_STATUS_BAD_PARAM;
    }
    const int channels = w_descriptor->k;
    if (bias_descriptor->n != std::array<int, 4>{1, channels, 1, 1} || bias_descriptor->stride[1] != 1 ||
        bias_descriptor->type != y_descriptor->type || z_descriptor->n != y_descriptor->n ||
        z_descriptor->stride != y_descriptor->stride || z_descriptor->type != y_descriptor->type || z != y ||
        (activation->mode != CUDNN_ACTIVATION_RELU && activation->mode != CUDNN_ACTIVATION_IDENTITY) ||
        activation->nan != CUDNN_NOT_PROPAGATE_NAN) {
      return CUDNN_STATUS_NOT_SUPPORTED;
    }
    const std::int64_t weights = std::int64_t{channels} * w_descriptor->c * w_descriptor->h * w_descriptor->w;
    const cudnnDataType_t type = w_descriptor->type;
    if (!Aligned(x) || !Aligned(w) || !Aligned(bias) || !Aligned(y) || !Aligned(workspace) ||
        !InDevice(x, x_descriptor->Extent(), type) || !InDevice(y, y_descriptor->Extent(), type) ||
        !InDevice(w, weights, type) || !InDevice(bias, channels, type) ||
        WhereIs(workspace, workspace_bytes) != Where::kDevice) {
      return CUDNN_STATUS_BAD_PARAM;
    }
    const auto* x_begin = static_cast<const std::byte*>(x);
    const auto* y_begin = static_cast<const std::byte*>(y);
    const bool apart = x_begin + x_descriptor->Extent() * SampleBytes(type) <= y_begin ||
                       y_begin + y_descriptor->Extent() * SampleBytes(type) <= x_begin;
    // Images that take turns do not overlap either.
    if (!apart && x_descriptor->n[0] == 1) return CUDNN_STATUS_BAD_PARAM;
    Work work{*x_descriptor,
              *y_descriptor,
              *w_descriptor,
              {convolution->padding[0], convolution->padding[1]},
              activation->mode == CUDNN_ACTIVATION_RELU,
              x_descriptor->n[0] > 1 && x_descriptor->n[1] == reordered_channels,
              *static_cast<const float*>(alpha1),
              *static_cast<const float*>(alpha2),
              x,
              w,
              bias,
              y,
              workspace,
              workspace_bytes};
    const cudaError_t queued = Finish(Enqueue(context.stream, [work] { Run(work); }));
    return queued == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
  });
}
