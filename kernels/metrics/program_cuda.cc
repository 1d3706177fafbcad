#include "kernels/metrics/program_cuda.h"

namespace likeness::cuda {

const Program* FindProgram(std::string_view id) {
  static const Program* const kPrograms[] = {&kMae,   &kMse,      &kRmse,        &kSse,     &kPsnr,
                                             &kHuber, &kSmoothL1, &kCharbonnier, &kLogCosh, &kGmsd};
  for (const Program* program : kPrograms) {
    if (program->info().id == id) return program;
  }
  return nullptr;
}

}  // namespace likeness::cuda
