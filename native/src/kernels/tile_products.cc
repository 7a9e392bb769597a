// Products of bf16 numbers on matrix tiles.
#include "products.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

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

Multipliers tileMultipliers() {
  return {.bf16 = &PanelProducts<Half, Half, TileArithmetic>::multiplier,
          .fp32AsBf16 = &PanelProducts<float, Half, TileArithmetic>::multiplier};
}

}  // namespace mallows::kernels

#else

namespace mallows::kernels {

Multipliers tileMultipliers() { return {}; }

}  // namespace mallows::kernels

#endif
