// Products of fp32 and bf16 numbers with AVX-512, for processors on which libtorch's leave much of it unused.
#include "products.h"

#if defined(__AVX512BF16__)

#include "panel_products.h"
#include "vector_registers.h"

namespace mallows::kernels {
namespace {

template <typename Packed>
class VectorArithmetic {
 public:
  static constexpr const char* kName = "vectors";

  /// All at once: writing sums and reading them again takes longer than reading a panel from the second-level
  /// cache.
  static constexpr int64_t kStepsOfPiece = kStepsAtOnce;

  /// As it is laid out with the least work: a word is read the same way from either.
  static bool isLeftAcross(const Matrix& left) { return left.transposed; }

  /// Broadcasting a word takes no longer from where it lies than from a copy, if the words of a row are
  /// neighbours.
  static constexpr bool kReadsRowsInPlace = true;

  void multiply(const Block& block) const {
    block.leftAcross ? multiplyTile<true>(block) : multiplyTile<false>(block);
  }

 private:
  template <bool across>
  static void multiplyTile(const Block& block) {
    if (block.rows <= 4) return multiplySome<4, across>(block, 0);
    multiplySome<8, across>(block, 0);
    if (block.rows > 8) multiplySome<8, across>(block, 8);
  }

  /// Some rows of a block from `first`.
  template <int rows, bool across>
  static void multiplySome(const Block& block, int first) {
    const TilePlaces& left = block.left;
    multiplyRows<Packed, rows, across>(
        block.sums + first * kPanelColumns, kPanelColumns, block.accumulate, block.steps, block.rest,
        {left.first + first * (across ? static_cast<int64_t>(sizeof(int)) : left.row), left.row, left.step},
        {block.panel, sizeof(Words::rows[0]), 2 * sizeof(Words)}, sizeof(Words), [&](int64_t step) {
          if (first == 0) block.bringNext(step);
        });
  }
};

}  // namespace

Multipliers vectorMultipliers() {
  return {.bf16 = &PanelProducts<Half, Half, VectorArithmetic<Half>>::multiplier,
          .fp32 = &PanelProducts<float, float, VectorArithmetic<float>>::multiplier,
          .fp32AsBf16 = &PanelProducts<float, Half, VectorArithmetic<Half>>::multiplier};
}

}  // namespace mallows::kernels

#else

namespace mallows::kernels {

Multipliers vectorMultipliers() { return {}; }

}  // namespace mallows::kernels

#endif
