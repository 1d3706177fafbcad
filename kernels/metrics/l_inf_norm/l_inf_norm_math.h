// L-infinity norm: the largest absolute error, on the [0, 1] scale, any size from 1x1.
//
//   max            the largest |e| of all samples
//   channel_mean   the largest |e| of each channel, then the mean over channels: what faceswap's l_inf_norm does with
//                  its channels last, and means to do
//   faceswap_head  faceswap's present code takes the maxima over axes of channels-first tensors as if channels were
//                  last: over channels and rows, for each column, then the mean over columns
//
// The gradient of a maximum is shared evenly by all samples that reach it.
#pragma once

#include "kernels/metrics/pointwise/pointwise_math.h"
