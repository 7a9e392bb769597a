// The registers of matrix tiles (AMX). Only for files that are compiled with those instructions.
#pragma once

#include "avx512.h"

namespace mallows::kernels {
namespace {

/// The processor's own format of the tiles' sizes: 64 bytes.
struct TileShapes {
  uint8_t palette = 1;
  uint8_t startRow = 0;
  uint8_t reserved[14] = {};
  uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
alignas(64) constexpr TileShapes kFullTiles;

/// Gives all eight tiles their full shape while it lives.
class Tiles {
 public:
  Tiles() { _tile_loadconfig(&kFullTiles); }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// The tile instructions do not tell the compiler which memory they touch.
inline void memoryBarrier() { asm volatile("" ::: "memory"); }

/// C `[16, 32]`, its rows `stride` floats apart, = or += `steps` tiles of A · the two tiles of B at each,
/// `apart` bytes from each other.
///
/// Four of the eight registers, though two by two sums would need fewer loads: where another thread shares
/// the core, registers that hold something leave too few for the loads to run ahead, and a product takes
/// twice as long.
template <typename OnStep>
inline void multiplyInto(float* c, int64_t stride, bool accumulate, int64_t steps, const TilePlaces& a,
                         const TilePlaces& b, int64_t apart, const OnStep& onStep) {
  const int64_t bytesOfC = stride * 4;
  if (accumulate) {
    _tile_loadd(0, c, bytesOfC);
    _tile_loadd(1, c + kTile, bytesOfC);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  for (int64_t step = 0; step < steps; ++step) {
    onStep(step);
    const std::byte* right = b.first + step * b.step;
    _tile_loadd(2, a.first + step * a.step, a.row);
    _tile_loadd(3, right, b.row);
    _tile_dpbf16ps(0, 2, 3);
    _tile_loadd(3, right + apart, b.row);
    _tile_dpbf16ps(1, 2, 3);
  }
  _tile_stored(0, c, bytesOfC);
  _tile_stored(1, c + kTile, bytesOfC);
}

}  // namespace
}  // namespace mallows::kernels
