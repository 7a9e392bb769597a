#include "blocks.h"
#include "loops.h"
#include "parallel.h"
#include "products.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

#if defined(__x86_64__)
/// The compiler may use anything that the flags in CMakeLists.txt name, so all of it is asked for.
bool hasAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("fma");
}
#endif

/// AVX-512 with its instructions for bf16.
bool hasBf16Vectors() {
#if defined(__x86_64__)
  return hasAvx512() && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

/// Matrix tiles (AMX) that the kernel lets this process use, which it asks for.
bool hasTiles() {
#if defined(__x86_64__) && defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!hasBf16Vectors() || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kAmxBf16 = 1u << 22;
  constexpr unsigned kAmxTile = 1u << 24;
  if ((d & kAmxBf16) == 0 || (d & kAmxTile) == 0) return false;
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Isa widest() {
#if defined(__x86_64__)
  if (hasAvx512()) return Isa::avx512;
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
  if (tiles::compiled && hasTiles()) return tiles::withAttention(loops);
  return vectors::compiled && hasBf16Vectors() ? vectors::withAttention(loops) : loops;
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
  const Multipliers vectors = hasBf16Vectors() ? vectorMultipliers() : Multipliers{};
  Multipliers chosen = hasTiles() ? tileMultipliers() : Multipliers{};
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
