#include "blocks.h"
#include "loops.h"
#include "parallel.h"
#include "products.h"

namespace mallows::kernels {

#define MALLOWS_DECLARE(isa)                    \
  namespace isa {                               \
  extern const Loops<float> ofFloat;            \
  extern const Loops<double> ofDouble;          \
  extern const Loops<c10::BFloat16> ofBFloat16; \
  }

MALLOWS_DECLARE(baseline)
#if defined(__x86_64__)
MALLOWS_DECLARE(avx2)
MALLOWS_DECLARE(avx512)
#endif
#undef MALLOWS_DECLARE

namespace {

enum class Isa { baseline, avx2, avx512 };

Isa widest() {
#if defined(__x86_64__)
  // The compiler may use anything that the flags in CMakeLists.txt name, so all of it is asked for.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("fma")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::baseline;
}

template <typename T>
const Loops<T>& choose([[maybe_unused]] const Loops<T>& avx512, [[maybe_unused]] const Loops<T>& avx2,
                       const Loops<T>& baseline) {
  static const Isa isa = widest();
  return isa == Isa::avx512 ? avx512 : (isa == Isa::avx2 ? avx2 : baseline);
}

Loops<c10::BFloat16> inBlocks(const Loops<c10::BFloat16>& loops) {
  if (tilesAvailable()) return tiles::withAttention(loops);
  return bf16VectorsAvailable() ? vectors::withAttention(loops) : loops;
}

}  // namespace

#if defined(__x86_64__)
#define MALLOWS_CHOOSE(name) choose(avx512::name, avx2::name, baseline::name)
#else
#define MALLOWS_CHOOSE(name) baseline::name
#endif

template <>
const Loops<float>& loops<float>() {
  return MALLOWS_CHOOSE(ofFloat);
}

template <>
const Loops<double>& loops<double>() {
  return MALLOWS_CHOOSE(ofDouble);
}

template <>
const Loops<c10::BFloat16>& loops<c10::BFloat16>() {
  static const Loops<c10::BFloat16> chosen = inBlocks(MALLOWS_CHOOSE(ofBFloat16));
  return chosen;
}

#undef MALLOWS_CHOOSE

namespace {

Multipliers chooseMultipliers() {
  // On one thread they would be slower than libtorch's on all.
  if (!kThreaded) return {};
  const Multipliers vectors = vectorMultipliers();
  Multipliers chosen = tileMultipliers();
  if (chosen.bf16 == nullptr) {
    chosen.bf16 = vectors.bf16;
    chosen.fp32AsBf16 = vectors.fp32AsBf16;
  }
#if defined(__x86_64__)
  // MKL, which libtorch multiplies fp32 with, uses AVX-512 on Intel's processors and no others.
  if (!__builtin_cpu_is("intel")) chosen.fp32 = vectors.fp32;
#endif
  return chosen;
}

}  // namespace

const Multipliers& multipliers() {
  static const Multipliers chosen = chooseMultipliers();
  return chosen;
}

}  // namespace mallows::kernels
