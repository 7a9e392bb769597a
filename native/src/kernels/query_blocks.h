// How attention goes through the queries of a piece, whatever computes it: in blocks, each with the keys that
// it sees. Everything here is internal to the file that includes it, as these are compiled for different
// processors.
#pragma once

#include <algorithm>

#include "loops.h"

namespace mallows::kernels {
namespace {

/// Tokens of one block. With a group of three heads, fp32 scores against 512 keys are 400 KB: they stay in
/// the second-level cache.
constexpr int64_t kQueriesAtOnce = 64;

/// Keys that a query sees: from `first` up to, not including, `end`.
struct VisibleKeys {
  int64_t first;
  int64_t end;

  /// Of the query at a position; all before it if the window is 0.
  VisibleKeys(int64_t position, int64_t window)
      : first(window > 0 ? std::max<int64_t>(0, position - window + 1) : 0), end(position + 1) {}
};

/// Queries that are worked on together: `count` tokens from `start`, all heads of a group, head by head.
struct QueryBlock {
  int64_t start;
  int64_t count;
  int64_t firstHead;
  int64_t group;
  /// The first token's place among the keys.
  int64_t position;

  int64_t rows() const { return count * group; }
  int64_t token(int64_t row) const { return start + row % count; }
  int64_t head(int64_t row) const { return firstHead + row / count; }
  /// Keys up to the last that any of them sees.
  int64_t reach() const { return position + count; }
  VisibleKeys visible(int64_t row, int64_t window) const { return {position + row % count, window}; }
};

/// Calls `work(block)` for a piece's queries of all heads that share a key head.
template <typename Work>
void forEachBlock(const Piece& piece, int64_t keyHead, int64_t group, const Work& work) {
  for (int64_t done = 0; done < piece.queries.length; done += kQueriesAtOnce) {
    work(QueryBlock{
        .start = piece.queries.start + done,
        .count = std::min(kQueriesAtOnce, piece.queries.length - done),
        .firstHead = keyHead * group,
        .group = group,
        .position = piece.keyLength - piece.queries.length + done,
    });
  }
}

}  // namespace
}  // namespace mallows::kernels
