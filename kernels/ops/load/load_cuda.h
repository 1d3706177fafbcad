// Loading and unloading under CUDA. `image.data` and tensors are in the memory of the GPU; tensors are packed.
// Every sample type, layout and channel count that load.h names.
#pragma once

#include "kernels/cuda/tensor_place.h"
#include "kernels/ops/cuda_device.h"
#include "kernels/ops/load/load.h"

LIKENESS_BEGIN_TARGET

void LoadForward(Cuda& device, const ImageView& image, double background, const PlanesView& out);

// The gradient with respect to the planes, in the submitted channels and layout of `image`. Null planes: zeros.
void UnloadGradient(Cuda& device, const PlanesView& gradient, const ImageView& image, double background,
                    const TensorPlace& out);

// Planes as a tensor.
void UnloadPlanes(Cuda& device, const PlanesView& planes, Layout layout, const TensorPlace& out);

LIKENESS_END_TARGET
