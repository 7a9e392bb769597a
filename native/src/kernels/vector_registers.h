// What tile_registers.h has, with AVX-512 in place of matrix tiles: with its instructions for bf16, and for
// fp32. Only for files that are compiled with those instructions.
#pragma once

#include <cstring>
#include <type_traits>

#include "avx512.h"

namespace mallows::kernels {
namespace {

/// Vector registers need no configuration.
struct Tiles {
  Tiles() {}
};

inline void memoryBarrier() {}

/// sums += the word of a row of the left factor · the words of sixteen columns.
template <typename Packed>
__m512 addProducts(__m512 sums, int word, __m512i words) {
  const __m512i left = _mm512_set1_epi32(word);
  if constexpr (std::is_same_v<Packed, Half>) return _mm512_dpbf16_ps(sums, (__m512bh)left, (__m512bh)words);
  return _mm512_fmadd_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(words), sums);
}

/// C `[rows, 32]`, its rows `stride` floats apart, = or += `steps` tiles of A and `rest` words of one more ·
/// the two tiles of B at each, `apart` bytes from each other. All sums are in registers, which have room for
/// eight rows. If A lies `across`, the rows of its tiles are words, and a row's words go down them.
template <typename Packed, int rows, bool across, typename OnStep>
inline void multiplyRows(float* c, int64_t stride, bool accumulate, int64_t steps, int64_t rest,
                         const TilePlaces& a, const TilePlaces& b, int64_t apart, const OnStep& onStep) {
  __m512 sums[rows][2];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    sums[r][0] = accumulate ? _mm512_loadu_ps(c + r * stride) : _mm512_setzero_ps();
    sums[r][1] = accumulate ? _mm512_loadu_ps(c + r * stride + kTile) : _mm512_setzero_ps();
  }
  const auto addWord = [&](const std::byte* left, const std::byte* right) __attribute__((always_inline)) {
    const __m512i low = loadWords(right);
    const __m512i high = loadWords(right + apart);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      int word;
      std::memcpy(&word, left + r * (across ? sizeof word : a.row), sizeof word);
      sums[r][0] = addProducts<Packed>(sums[r][0], word, low);
      sums[r][1] = addProducts<Packed>(sums[r][1], word, high);
    }
  };
  const int64_t wordOfLeft = across ? a.row : sizeof(int);
  const std::byte* left = a.first;
  const std::byte* right = b.first;
  for (int64_t step = 0; step < steps; ++step, left += a.step, right += b.step) {
    onStep(step);
#pragma GCC unroll 4
    for (int word = 0; word < kTile; ++word) addWord(left + word * wordOfLeft, right + word * b.row);
  }
  for (int64_t word = 0; word < rest; ++word) addWord(left + word * wordOfLeft, right + word * b.row);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    _mm512_storeu_ps(c + r * stride, sums[r][0]);
    _mm512_storeu_ps(c + r * stride + kTile, sums[r][1]);
  }
}

/// C `[16, 32]`, its rows `stride` floats apart, = or += `steps` tiles of A · the two tiles of B at each,
/// `apart` bytes from each other.
template <typename OnStep>
inline void multiplyInto(float* c, int64_t stride, bool accumulate, int64_t steps, const TilePlaces& a,
                         const TilePlaces& b, int64_t apart, const OnStep& onStep) {
  for (int64_t row = 0; row < kTile; row += 8) {
    multiplyRows<Half, 8, false>(c + row * stride, stride, accumulate, steps, 0,
                                 {a.first + row * a.row, a.row, a.step}, b, apart, onStep);
  }
}

}  // namespace
}  // namespace mallows::kernels
