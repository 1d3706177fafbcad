#include "kernels/ops/conv_trunk/blocked_conv.h"

#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "oneapi/dnnl/dnnl.hpp"

namespace likeness {
namespace {

using dnnl::memory;

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& Stream() {
  thread_local dnnl::stream stream(Engine());
  return stream;
}

// oneDNN asks OpenMP how many threads there are, when it plans and when it runs: here, one. OpenMP keeps this number
// for each thread, so nobody else is told.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

const char* IsaName(ConvIsa isa) {
  switch (isa) {
    case ConvIsa::kSse4:
      return "sse41";
    case ConvIsa::kAvx2:
      return "avx2";
    case ConvIsa::kAvx512:
      return "avx512";
    case ConvIsa::kNone:
    case ConvIsa::kAny:
      break;
  }
  return "";
}

bool IsOf(ConvIsa isa, Precision precision, absl::string_view implementation) {
  // Without the instructions oneDNN imitates them, slower than floats.
  if (precision == Precision::kFast)
    return absl::StrContains(implementation, "bf16:avx512_core_bf16") || absl::StrContains(implementation, "amx_bf16");
  return absl::StrContains(implementation, IsaName(isa));
}

int RoundUp(int n, int to) { return (n + to - 1) / to * to; }

// An output chunk: enough blocks to fill the registers of oneDNN's inner loop, and a divisor of the channels.
int ChunkChannels(int channels, int block) {
  for (int blocks = 4; blocks > 1; --blocks) {
    if (channels % (blocks * block) == 0) return blocks * block;
  }
  return block;
}

struct FreeAligned {
  void operator()(float* p) const { std::free(p); }
};
using AlignedFloats = std::unique_ptr<float, FreeAligned>;

AlignedFloats AllocateAligned(std::size_t bytes) {
  return AlignedFloats(static_cast<float*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
}

// Scratch that some of oneDNN's implementations want; those we have seen want none.
float* Scratch(std::size_t bytes) {
  thread_local AlignedFloats scratch;
  thread_local std::size_t held = 0;
  if (bytes > held) {
    scratch = AllocateAligned(bytes);
    held = bytes;
  }
  return scratch.get();
}

}  // namespace

bool HasFastConvolutions(ConvIsa isa) {
  if (isa != ConvIsa::kAvx512) return false;
  const dnnl::cpu_isa has = dnnl::get_effective_cpu_isa();
  return has == dnnl::cpu_isa::avx512_core_bf16 || has == dnnl::cpu_isa::avx512_core_amx;
}

struct BlockedWeights::Impl {
  struct Variant {
    memory::desc desc;  // of one chunk
    std::vector<AlignedFloats> chunks;
  };
  std::mutex mutex;
  std::list<Variant> variants;  // addresses stay
};

BlockedWeights::BlockedWeights() : impl_(std::make_unique<Impl>()) {}
BlockedWeights::~BlockedWeights() = default;

struct BlockedConv::Impl {
  dnnl::convolution_forward::primitive_desc desc;
  dnnl::convolution_forward primitive;
  const BlockedWeights::Impl::Variant* weights = nullptr;
  AlignedFloats bias;  // null: none
  int chunk_channels = 0;
  std::int64_t chunk_floats = 0;  // of the output
};

BlockedConv::BlockedConv() : impl_(std::make_unique<Impl>()) {}
BlockedConv::~BlockedConv() = default;

const char* BlockedConv::implementation() const { return impl_->desc.impl_info_str(); }

absl::StatusOr<std::shared_ptr<const BlockedConv>> BlockedConv::Create(
    ConvIsa isa, Precision precision, const ConvGeometry& conv, const Shape& in, ConvResult kind, BlockedWeights& cache,
    const std::function<std::vector<float>()>& weight, std::span<const float> bias) {
  const int block = BlockOf(isa);
  const auto tag = block == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c;
  const int in_channels = RoundUp(conv.in, block);
  const int out_channels = RoundUp(conv.out, block);
  const int chunk = ChunkChannels(out_channels, block);
  const Shape out = ConvOutput(conv, in);
  const int k = conv.kernel;
  std::shared_ptr<BlockedConv> result(new BlockedConv());
  Impl& impl = *result->impl_;
  const OneThread one_thread;
  try {
    const auto f32 = memory::data_type::f32;
    const auto read = precision == Precision::kFast ? memory::data_type::bf16 : f32;
    const memory::desc in_desc({1, in_channels, in.height, in.width}, read, tag);
    const memory::desc out_desc({1, chunk, out.height, out.width}, f32, tag);
    const memory::desc weight_desc({chunk, in_channels, k, k}, read, memory::format_tag::any);
    const memory::desc bias_desc = bias.empty() ? memory::desc() : memory::desc({chunk}, f32, memory::format_tag::a);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    dnnl::post_ops after;
    if (kind == ConvResult::kRelu) after.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    if (kind == ConvResult::kAdded) after.append_sum(1.0f);
    attributes.set_post_ops(after);
    const memory::dims padding = {conv.padding, conv.padding};
    const dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
                                               in_desc, weight_desc, bias_desc, out_desc, {1, 1}, padding, padding);
    impl.desc = dnnl::convolution_forward::primitive_desc(desc, attributes, Engine());
    // oneDNN lists the best first; the first one of the wanted instruction set is ours. Its limit for the whole process
    // (dnnl_set_max_cpu_isa) would not let two scorers differ.
    std::string seen = impl.desc.impl_info_str();
    while (!IsOf(isa, precision, impl.desc.impl_info_str())) {
      if (!impl.desc.next_impl()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "oneDNN has no ", precision == Precision::kFast ? "bfloat16" : IsaName(isa), " convolution for ", conv.in,
            " to ", conv.out, " channels on this processor (it has ", seen, "); choose another instruction set"));
      }
      absl::StrAppend(&seen, ", ", impl.desc.impl_info_str());
    }
    impl.primitive = dnnl::convolution_forward(impl.desc);

    const std::lock_guard<std::mutex> lock(cache.impl_->mutex);
    for (const auto& variant : cache.impl_->variants) {
      if (variant.desc == impl.desc.weights_desc()) impl.weights = &variant;
    }
    if (impl.weights == nullptr) {
      const std::vector<float> values = weight();
      BlockedWeights::Impl::Variant variant{impl.desc.weights_desc(), {}};
      std::vector<float> padded(std::size_t(chunk) * in_channels * k * k);
      const memory plain({{chunk, in_channels, k, k}, f32, memory::format_tag::oihw}, Engine(), padded.data());
      for (int first = 0; first < out_channels; first += chunk) {
        std::fill(padded.begin(), padded.end(), 0.0f);
        for (int o = 0; o < std::min(chunk, conv.out - first); ++o) {
          std::copy_n(&values[std::size_t(first + o) * conv.in * k * k], std::size_t(conv.in) * k * k,
                      &padded[std::size_t(o) * in_channels * k * k]);
        }
        AlignedFloats blocked = AllocateAligned(variant.desc.get_size());
        memory target(variant.desc, Engine(), blocked.get());
        dnnl::reorder(plain, target).execute(Stream(), const_cast<memory&>(plain), target);
        Stream().wait();
        variant.chunks.push_back(std::move(blocked));
      }
      cache.impl_->variants.push_back(std::move(variant));
      impl.weights = &cache.impl_->variants.back();
    }
  } catch (const dnnl::error& error) {
    const std::string what =
        absl::StrCat("oneDNN refuses a convolution of ", conv.in, " to ", conv.out, " channels, kernel ", k, ", on ",
                     in.width, "x", in.height, ": ", error.what());
    return error.status == dnnl_out_of_memory ? absl::ResourceExhaustedError(what) : absl::InternalError(what);
  }
  if (!bias.empty()) {
    impl.bias = AllocateAligned(out_channels * sizeof(float));
    std::fill_n(impl.bias.get(), out_channels, 0.0f);
    std::copy(bias.begin(), bias.end(), impl.bias.get());
  }
  impl.chunk_channels = chunk;
  impl.chunk_floats = std::int64_t{chunk} * out.width * out.height;
  result->chunk_count_ = out_channels / chunk;
  return std::shared_ptr<const BlockedConv>(std::move(result));
}

void BlockedConv::Run(int chunk, const void* in, float* out) const {
  const OneThread one_thread;
  try {
    const Impl& impl = *impl_;
    const dnnl::engine& engine = Engine();
    const auto wrap = [&](const memory::desc& desc, const void* data) {
      return memory(desc, engine, const_cast<void*>(data));
    };
    const std::size_t scratch_bytes = impl.desc.scratchpad_desc().get_size();
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, wrap(impl.desc.src_desc(), in)},
        {DNNL_ARG_WEIGHTS, wrap(impl.weights->desc, impl.weights->chunks[chunk].get())},
        {DNNL_ARG_DST, wrap(impl.desc.dst_desc(), out + chunk * impl.chunk_floats)}};
    if (impl.bias) {
      arguments.emplace(DNNL_ARG_BIAS, wrap(impl.desc.bias_desc(), impl.bias.get() + chunk * impl.chunk_channels));
    }
    if (scratch_bytes > 0) {
      arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(impl.desc.scratchpad_desc(), Scratch(scratch_bytes)));
    }
    impl.primitive.execute(Stream(), arguments);
    Stream().wait();
  } catch (const dnnl::error& error) {
    std::fprintf(stderr, "likeness: oneDNN failed on a convolution that it had accepted: %s\n", error.what());
    std::abort();
  }
}

}  // namespace likeness
