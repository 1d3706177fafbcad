// The CPU side of every op that a program may use.
#pragma once

#include "kernels/ops/butteraugli/butteraugli_cpu.h"
#include "kernels/ops/conv_trunk/conv_trunk_cpu.h"
#include "kernels/ops/correlate/correlate_cpu.h"
#include "kernels/ops/correlate_bank/correlate_bank_cpu.h"
#include "kernels/ops/fft/fft_cpu.h"
#include "kernels/ops/filter_bank/filter_bank_cpu.h"
#include "kernels/ops/load/load_cpu.h"
#include "kernels/ops/map/map_cpu.h"
#include "kernels/ops/map_channels/map_channels_cpu.h"
#include "kernels/ops/order/order_cpu.h"
#include "kernels/ops/permute/permute_cpu.h"
#include "kernels/ops/pixel_means/pixel_means_cpu.h"
#include "kernels/ops/pool/pool_cpu.h"
#include "kernels/ops/pyramid/pyramid_cpu.h"
#include "kernels/ops/reduce/reduce_cpu.h"
#include "kernels/ops/resample/resample_cpu.h"
