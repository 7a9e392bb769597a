// What tile_registers.h has, with AVX-512's instructions for bf16 in place of matrix tiles.
#pragma once

#include <cstring>

#include "avx512.h"

namespace mallows::kernels {
namespace {

/// Vector registers need no configuration.
struct Tiles {
  Tiles() {}
};

inline void memoryBarrier() {}

/// Eight of the rows that `multiplyInto` computes: their sums fit in the registers.
inline void multiplyEight(float* c, int64_t stride, bool accumulate, int64_t steps, const TilePlaces& a,
                          const TilePlaces& b, int64_t apart) {
  __m512 sums[8][2];
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) {
    sums[r][0] = accumulate ? _mm512_loadu_ps(c + r * stride) : _mm512_setzero_ps();
    sums[r][1] = accumulate ? _mm512_loadu_ps(c + r * stride + kTile) : _mm512_setzero_ps();
  }
  for (int64_t step = 0; step < steps; ++step) {
    const Half* left = a.first + step * a.step;
    const Half* right = b.first + step * b.step;
#pragma GCC unroll 2
    for (int pair = 0; pair < kTile; ++pair, left += 2, right += b.row) {
      const auto low = (__m512bh)loadWords(right);
      const auto high = (__m512bh)loadWords(right + apart);
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) {
        int word;
        std::memcpy(&word, left + r * a.row, sizeof word);
        const auto factor = (__m512bh)_mm512_set1_epi32(word);
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], factor, low);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], factor, high);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) {
    _mm512_storeu_ps(c + r * stride, sums[r][0]);
    _mm512_storeu_ps(c + r * stride + kTile, sums[r][1]);
  }
}

/// C `[16, 32]`, its rows `stride` apart, = or += `steps` tiles of A · the two tiles of B at each, `apart`
/// elements from each other.
template <typename OnStep>
inline void multiplyInto(float* c, int64_t stride, bool accumulate, int64_t steps, const TilePlaces& a,
                         const TilePlaces& b, int64_t apart, const OnStep&) {
  multiplyEight(c, stride, accumulate, steps, a, b, apart);
  multiplyEight(c + 8 * stride, stride, accumulate, steps, {a.first + 8 * a.row, a.row, a.step}, b, apart);
}

}  // namespace
}  // namespace mallows::kernels
