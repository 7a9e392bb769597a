// Products of bf16 numbers on matrix tiles.
#include "blocks.h"
#include "products.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "panel_products.h"
#include "tile_registers.h"

namespace mallows::kernels {
namespace {

class TileArithmetic {
 public:
  static constexpr const char* kName = "tiles";

  /// 24 KiB of a panel stay in the first-level cache.
  static constexpr int64_t kStepsOfPiece = 12;

  static bool isLeftAcross(const Matrix&) { return false; }

  static constexpr bool kReadsRowsInPlace = false;

  void multiply(const Block& block) const {
    memoryBarrier();
    multiplyInto(block.sums, kPanelColumns, block.accumulate, block.steps, block.left,
                 {block.panel, sizeof(Words::rows[0]), 2 * sizeof(Words)}, sizeof(Words),
                 [&](int64_t step) { block.bringNext(step); });
    memoryBarrier();
  }

 private:
  Tiles configured_;
};

}  // namespace

bool tilesAvailable() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kAmxBf16 = 1u << 22;
  constexpr unsigned kAmxTile = 1u << 24;
  if ((d & kAmxBf16) == 0 || (d & kAmxTile) == 0) return false;
  constexpr unsigned kAvx512Bf16 = 1u << 5;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a & kAvx512Bf16) == 0) return false;
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Multipliers tileMultipliers() {
  if (!tilesAvailable()) return {};
  return {.bf16 = &PanelProducts<Half, Half, TileArithmetic>::multiplier,
          .fp32AsBf16 = &PanelProducts<float, Half, TileArithmetic>::multiplier};
}

}  // namespace mallows::kernels

#else

namespace mallows::kernels {

bool tilesAvailable() { return false; }
Multipliers tileMultipliers() { return {}; }

}  // namespace mallows::kernels

#endif
