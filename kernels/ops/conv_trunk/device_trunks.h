// Trunks' weights in the memory of a GPU, as cuDNN reads them.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <vector>

#include "kernels/cuda/owners.h"
#include "kernels/ops/conv_trunk/trunk_weights.h"

namespace likeness::cuda {

// One value of a trunk: a convolution, or those beside each other as one, narrower kernels filled up with zeros. All
// pointers are into the memory of the GPU.
struct DeviceConv {
  // Of one precision, in samples of it. Weights are [out][kernel][kernel][in], channels as PaddedChannels has them.
  struct Samples {
    const void* weight = nullptr;
    const void* bias = nullptr;
    const void* adjoint = nullptr;  // weights of the adjoint
  };

  ConvGeometry geometry;
  Samples exact;
  Samples fast;

  const Samples& samples(Precision precision) const { return precision == Precision::kFast ? fast : exact; }
};

// Of one GPU, read by all its slots. Immutable once made; movable.
class DeviceTrunks {
 public:
  struct Source {
    const TrunkSpec* spec;
    const TrunkWeights* weights;  // must outlive this
  };
  // On the calling thread's device; waits for the upload. Convolutions that trunks have in common are there once.
  static Failure Create(std::span<const Source> sources, DeviceTrunks* out);

  // `layer` is the first of a value.
  const DeviceConv& conv(const TrunkWeights* weights, int layer) const { return *trunks_.at(weights).convs.at(layer); }
  const float* head(const TrunkWeights* weights, int tap) const { return trunks_.at(weights).heads[tap]; }
  // A bias of none, in any precision.
  const void* zeros() const { return zeros_.data(); }

  std::int64_t size_bytes() const { return size_bytes_; }

 private:
  struct Uploaded {
    std::vector<std::uint64_t> identities;
    DeviceConv conv;
  };
  struct OnDevice {
    std::map<int, const DeviceConv*> convs;  // by layer
    std::vector<const float*> heads;
  };

  // `bytes` is kept until the upload is done.
  Failure Upload(std::span<const std::byte> bytes, cudaStream_t stream, const std::byte** out);
  Failure AddConv(const Source& source, int layer, cudaStream_t stream, const DeviceConv** out);

  std::list<DeviceBuffer> buffers_;
  std::list<Uploaded> convs_;
  std::map<const TrunkWeights*, OnDevice> trunks_;
  DeviceBuffer zeros_;
  std::int64_t size_bytes_ = 0;
};

}  // namespace likeness::cuda
