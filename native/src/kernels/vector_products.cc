// Products of fp32 and bf16 numbers with AVX-512, for processors on which libtorch's leave much of it unused.
#include "blocks.h"
#include "products.h"

#if defined(__AVX512F__) && defined(__AVX512BF16__)

#include "panel_products.h"

namespace mallows::kernels {
namespace {

/// sums += the word of a row of the left factor · the words of sixteen columns.
template <typename Packed>
__m512 addProducts(__m512 sums, uint32_t word, __m512i words) {
  const __m512i left = _mm512_set1_epi32(static_cast<int>(word));
  if constexpr (std::is_same_v<Packed, Half>) return _mm512_dpbf16_ps(sums, (__m512bh)left, (__m512bh)words);
  return _mm512_fmadd_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(words), sums);
}

/// Some rows of a block from `first`, whose sums are all held in registers.
template <typename Packed, int rows, bool across>
void multiplyRows(const Block& block, int first) {
  __m512 sums[rows][2];
  float* c = block.sums + first * kPanelColumns;
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    sums[r][0] = block.accumulate ? _mm512_load_ps(c + r * kPanelColumns) : _mm512_setzero_ps();
    sums[r][1] = block.accumulate ? _mm512_load_ps(c + r * kPanelColumns + kTile) : _mm512_setzero_ps();
  }
  for (int64_t step = 0; step < block.steps; ++step) {
    if (first == 0) block.bringNext(step);
    const auto& left = block.left[step].rows;
    const Words* panel = block.panel + 2 * step;
#pragma GCC unroll 4
    for (int word = 0; word < kTile; ++word) {
      const __m512i low = _mm512_load_si512(panel[0].rows[word]);
      const __m512i high = _mm512_load_si512(panel[1].rows[word]);
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
        const uint32_t factor = across ? left[word][first + r] : left[first + r][word];
        sums[r][0] = addProducts<Packed>(sums[r][0], factor, low);
        sums[r][1] = addProducts<Packed>(sums[r][1], factor, high);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    _mm512_store_ps(c + r * kPanelColumns, sums[r][0]);
    _mm512_store_ps(c + r * kPanelColumns + kTile, sums[r][1]);
  }
}

template <typename Packed>
class VectorArithmetic {
 public:
  static constexpr const char* kName = "vectors";

  /// All at once: writing sums and reading them again takes longer than reading a panel from the second-level
  /// cache.
  static constexpr int64_t kStepsOfPiece = kStepsAtOnce;

  /// As it is laid out with the least work: a word is read the same way from either.
  static bool isLeftAcross(const Matrix& left) { return left.transposed; }

  void multiply(const Block& block) const {
    block.leftAcross ? multiplyTile<true>(block) : multiplyTile<false>(block);
  }

 private:
  template <bool across>
  static void multiplyTile(const Block& block) {
    if (block.rows <= 4) return multiplyRows<Packed, 4, across>(block, 0);
    multiplyRows<Packed, 8, across>(block, 0);
    if (block.rows > 8) multiplyRows<Packed, 8, across>(block, 8);
  }
};

}  // namespace

bool bf16VectorsAvailable() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bf16");
}

Multipliers vectorMultipliers() {
  if (!bf16VectorsAvailable()) return {};
  return {.bf16 = &PanelProducts<Half, Half, VectorArithmetic<Half>>::multiplier,
          .fp32 = &PanelProducts<float, float, VectorArithmetic<float>>::multiplier,
          .fp32AsBf16 = &PanelProducts<float, Half, VectorArithmetic<Half>>::multiplier};
}

}  // namespace mallows::kernels

#else

namespace mallows::kernels {

bool bf16VectorsAvailable() { return false; }
Multipliers vectorMultipliers() { return {}; }

}  // namespace mallows::kernels

#endif
