// Attention and matrix products on the matrix tiles (AMX) that newer x86 servers multiply bf16 with.
#pragma once

#include "loops.h"

namespace mallows::kernels {

/// Whether the processor has tiles and the kernel lets this process use them, which it asks for.
bool tilesAvailable();

/// Whether bf16 matrices are multiplied on them: they are, where the kernels run on libtorch's threads.
bool tileProducts();

/// The loops given, with attention on tiles where a head's width allows it.
Loops<c10::BFloat16> withTiles(const Loops<c10::BFloat16>& loops);

/// `[rows, columns]` in memory: row by row, or column by column if `transposed`; `stride` elements from one
/// to the next.
struct Matrix {
  const c10::BFloat16* data;
  int64_t stride;
  bool transposed;
};

/// Columns of the right factor that are multiplied together.
constexpr int64_t kPanelColumns = 32;

/// Elements of one panel of a right factor with `inner` rows.
int64_t panelSize(int64_t inner);

/// Writes one panel of `right [inner, columns]`, in the order in which tiles read it; what pads it is 0.
void packPanel(const Matrix& right, int64_t inner, int64_t columns, int64_t panel, c10::BFloat16* to);

/// output `[rows, columns]`, dense = left `[rows, inner]` · right, whose panels lie one after another, +
/// bias. Sums are fp32 and rounded once, and each is made in the same order whatever is computed beside it.
///
/// With panels of a `gate`, output = silu(left · gate) · (left · right), both rounded before they meet.
struct TileProduct {
  Matrix left;
  const c10::BFloat16* gate;
  const c10::BFloat16* panels;
  const c10::BFloat16* bias;
  c10::BFloat16* output;
  int64_t columns;
  int64_t inner;
};

struct IndexRange {
  int64_t first;
  int64_t end;
};

/// Bytes of scratch memory, on a boundary of 64, that `multiply` needs for so many rows and panels.
int64_t productScratch(const TileProduct& product, int64_t rows, int64_t panels);

/// Computes some rows of the columns of some panels.
void multiply(const TileProduct& product, IndexRange rows, IndexRange panels, void* scratch);

}  // namespace mallows::kernels
