// Matrix products of the project's own: how a factor lies in memory, what is to be computed, and which of the
// ways to compute it this processor is best at.
#pragma once

#include <cstdint>

namespace mallows::kernels {

/// `[rows, columns]` in memory: row by row, or column by column if `transposed`; `stride` elements from one
/// to the next.
struct Matrix {
  const void* data;
  int64_t stride;
  bool transposed;
};

/// Columns of the right factor that are multiplied together: a panel.
constexpr int64_t kPanelColumns = 32;

/// output `[rows, columns]`, dense = or += left `[rows, inner]` · right + bias. Sums are fp32 and rounded
/// once, and each is made in the same order whatever is computed beside it.
///
/// With panels of a `gate`, output = silu(left · gate) · (left · right), both rounded before they meet.
struct Product {
  Matrix left;
  /// The right factor's panels, one after another from this one on.
  const void* panels = nullptr;
  const void* gate = nullptr;
  int64_t firstPanel = 0;
  const void* bias;
  void* output;
  bool accumulate = false;
  int64_t columns;
  int64_t inner;
};

struct IndexRange {
  int64_t first;
  int64_t end;
};

/// One way to multiply matrices of one type. A right factor is first laid out in panels, whose elements may
/// be of another type than the matrices.
struct Multiplier {
  /// What multiplies, for people.
  const char* name;
  /// Elements of one panel of a right factor with `inner` rows.
  int64_t (*panelSize)(int64_t inner);
  /// Writes one panel of `right [inner, columns]`, in the order in which it is read; what pads it is 0.
  void (*packPanel)(const Matrix& right, int64_t inner, int64_t columns, int64_t panel, void* to);
  /// Bytes of scratch memory, on a boundary of 64, that `multiply` needs for so many rows and panels.
  int64_t (*scratch)(const Product& product, int64_t rows, int64_t panels);
  /// Computes some rows of the columns of some panels.
  void (*multiply)(const Product& product, IndexRange rows, IndexRange panels, void* scratch);
};

/// Ways to multiply, by the type of the matrices and that of the panels; nothing where there is none.
struct Multipliers {
  const Multiplier* bf16 = nullptr;
  const Multiplier* fp32 = nullptr;
  /// fp32 matrices whose elements are rounded to bf16 as they are laid out.
  const Multiplier* fp32AsBf16 = nullptr;
};

/// On the matrix tiles (AMX) that newer x86 servers have. Only for a processor that has them; nothing if the
/// compiler did not know them.
Multipliers tileMultipliers();

/// With AVX-512 and its instructions for bf16, likewise.
Multipliers vectorMultipliers();

/// What this processor multiplies with. What it leaves out, libtorch does better or as well.
const Multipliers& multipliers();

}  // namespace mallows::kernels
