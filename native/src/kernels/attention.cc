// Exact causal attention over a packed row: one call for all its pieces, forward and backward.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <vector>

#include "parallel.h"
#include "tensors.h"

namespace mallows::kernels {
namespace {

/// The row's pieces as TypeScript describes them: for each piece the start and length of its queries, how
/// many ranges its keys have, and their starts and lengths.
class Layout {
 public:
  explicit Layout(at::IntArrayRef numbers, int64_t tokens) {
    size_t at = 0;
    const auto next = [&] {
      TORCH_CHECK(at < numbers.size(), "the list of pieces ends in the middle of one");
      return numbers[at++];
    };
    const auto range = [&] {
      const TokenRange found{next(), next()};
      TORCH_CHECK(found.start >= 0 && found.length > 0 && found.start + found.length <= tokens, "tokens ",
                  found.start, " + ", found.length, " lie outside the row of ", tokens);
      return found;
    };
    // Pieces point into the ranges, so these must not move while they are filled.
    ranges_.reserve(numbers.size());
    int64_t covered = 0;
    while (at < numbers.size()) {
      const TokenRange queries = range();
      TORCH_CHECK(queries.start == covered, "pieces must follow one another in the row");
      covered += queries.length;
      Piece piece{queries, ranges_.data() + ranges_.size(), next(), 0};
      int64_t first = queries.start;
      for (int64_t i = 0; i < piece.keyRanges; ++i) {
        ranges_.push_back(range());
        piece.keyLength += ranges_.back().length;
        first = std::min(first, ranges_.back().start);
        TORCH_CHECK(ranges_.back().start + ranges_.back().length <= covered,
                    "a piece's keys lie behind its queries");
      }
      TORCH_CHECK(piece.keyLength >= queries.length, "a piece has fewer keys than queries");
      addToIsland(first, covered);
      pieces_.push_back(piece);
      longestKeys_ = std::max(longestKeys_, piece.keyLength);
    }
    TORCH_CHECK(covered == tokens, "the pieces cover ", covered, " of ", tokens, " tokens");
  }

  const std::vector<Piece>& pieces() const { return pieces_; }
  int64_t longestKeys() const { return longestKeys_; }

  /// A stretch of the row that no piece's keys leave: islands can be worked on at the same time.
  struct Island {
    TokenRange tokens;
    size_t firstPiece;
    int64_t pieceCount;
  };
  const std::vector<Island>& islands() const { return islands_; }

 private:
  void addToIsland(int64_t first, int64_t end) {
    Island island{{first, end - first}, pieces_.size(), 1};
    while (!islands_.empty() && first < islands_.back().tokens.start + islands_.back().tokens.length) {
      const Island& joined = islands_.back();
      island.firstPiece = joined.firstPiece;
      island.pieceCount += joined.pieceCount;
      first = std::min(first, joined.tokens.start);
      island.tokens = {first, end - first};
      islands_.pop_back();
    }
    islands_.push_back(island);
  }

  std::vector<TokenRange> ranges_;
  std::vector<Piece> pieces_;
  std::vector<Island> islands_;
  int64_t longestKeys_ = 0;
};

template <typename T>
Attention<T> describe(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& output,
                      const Tensor& logSums, int64_t window, double scale) {
  return {
      .query = headsOf<const T>(query),
      .key = headsOf<const T>(key),
      .value = headsOf<const T>(value),
      .output = headsOf<T>(output),
      .logSums = static_cast<Wide<T>*>(logSums.data_ptr()),
      .tokens = query.size(0),
      .group = query.size(1) / key.size(1),
      .width = query.size(2),
      .window = window,
      .scale = static_cast<Wide<T>>(scale),
  };
}

/// Scratch memory for every thread.
template <typename T>
class Workspace {
 public:
  Workspace(const Attention<T>& call, const Layout& layout, int64_t islandLength, int threads)
      : each_(loops<T>().attentionScratch(call, layout.longestKeys(), islandLength)),
        memory_(new Wide<T>[static_cast<size_t>(each_) * threads]) {}

  Wide<T>* of(int thread) const { return memory_.get() + each_ * thread; }

 private:
  int64_t each_;
  // Left uninitialised: a value-initialised vector would write all of it.
  std::unique_ptr<Wide<T>[]> memory_;
};

/// Output `[tokens, heads, width]` and log sums `[heads, tokens]`.
std::pair<Tensor, Tensor> attentionForward(const Tensor& query, const Tensor& key, const Tensor& value,
                                           at::IntArrayRef pieces, int64_t window, double scale) {
  const Layout layout(pieces, query.size(0));
  Tensor output = at::empty(query.sizes(), query.options());
  Tensor logSums = at::empty({query.size(1), query.size(0)}, wideOptions(query));
  withScalar(query, "attention", [&](auto scalar) {
    using T = decltype(scalar);
    const auto call = describe<T>(query, key, value, output, logSums, window, scale);
    const int threads = at::get_num_threads();
    const Workspace<T> workspace(call, layout, 0, threads);
    const int64_t keyHeads = key.size(1);
    const auto count = static_cast<int64_t>(layout.pieces().size()) * keyHeads;
    forEachTask(count, threads, [&](int64_t task, int thread) {
      loops<T>().attend(call, layout.pieces()[task / keyHeads], task % keyHeads, workspace.of(thread));
    });
  });
  return {output, logSums};
}

struct PackedAttention : torch::autograd::Function<PackedAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value,
                        at::IntArrayRef pieces, int64_t window, double scale) {
    auto [output, logSums] = attentionForward(query, key, value, pieces, window, scale);
    context->save_for_backward({query, key, value, output, logSums});
    context->saved_data["pieces"] = pieces.vec();
    context->saved_data["window"] = window;
    context->saved_data["scale"] = scale;
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& slopes) {
    refuseSecondDerivative("mallows::packed_attention");
    const variable_list saved = context->get_saved_variables();
    const Tensor& query = saved[0];
    const Tensor& key = saved[1];
    const Layout layout(context->saved_data["pieces"].toIntVector(), query.size(0));
    const Tensor dOutput = denseRows(slopes[0]);
    Tensor dQuery = at::empty(query.sizes(), query.options());
    Tensor dKey = at::empty(key.sizes(), key.options());
    Tensor dValue = at::empty(key.sizes(), key.options());
    withScalar(query, "attention", [&](auto scalar) {
      using T = decltype(scalar);
      const auto call =
          describe<T>(query, key, saved[2], saved[3], saved[4], context->saved_data["window"].toInt(),
                      context->saved_data["scale"].toDouble());
      const AttentionSlopes<T> ways{headsOf<const T>(dOutput), headsOf<T>(dQuery), headsOf<T>(dKey),
                                    headsOf<T>(dValue)};
      int64_t longest = 0;
      for (const auto& island : layout.islands()) longest = std::max(longest, island.tokens.length);
      const int threads = at::get_num_threads();
      const Workspace<T> workspace(call, layout, longest, threads);
      const int64_t keyHeads = key.size(1);
      const auto count = static_cast<int64_t>(layout.islands().size()) * keyHeads;
      forEachTask(count, threads, [&](int64_t task, int thread) {
        const auto& island = layout.islands()[task / keyHeads];
        loops<T>().attendBackward(call, ways, island.tokens, layout.pieces().data() + island.firstPiece,
                                  island.pieceCount, task % keyHeads, workspace.of(thread));
      });
    });
    return {dQuery, dKey, dValue, Tensor(), Tensor(), Tensor()};
  }
};

Tensor packedAttention(const Tensor& query, const Tensor& key, const Tensor& value, at::IntArrayRef pieces,
                       int64_t window, double scale) {
  TORCH_CHECK(
      query.dim() == 3 && key.dim() == 3 && key.sizes() == value.sizes() && key.size(0) == query.size(0) &&
          key.size(2) == query.size(2) && key.size(1) > 0 && query.size(1) % key.size(1) == 0,
      "query [tokens, heads, width] and key, value [tokens, key heads, width] do not fit: ", query.sizes(),
      ", ", key.sizes(), ", ", value.sizes());
  TORCH_CHECK(query.scalar_type() == key.scalar_type() && key.scalar_type() == value.scalar_type(),
              "query, key and value must have one dtype");
  TORCH_CHECK(window >= 0, "a window cannot be negative");
  const Tensor q = denseRows(query);
  const Tensor k = denseRows(key);
  const Tensor v = denseRows(value);
  if (tracked({query, key, value})) return PackedAttention::apply(q, k, v, pieces, window, scale);
  return attentionForward(q, k, v, pieces, window, scale).first;
}

/// One new token for each of the sequences in the first slots of the caches `[slots, capacity, key heads,
/// width]`.
Tensor cachedAttention(const Tensor& query, const Tensor& key, const Tensor& value, Tensor& keys,
                       Tensor& values, at::IntArrayRef lengths, int64_t window, double scale) {
  const auto count = static_cast<int64_t>(lengths.size());
  TORCH_CHECK(query.dim() == 3 && query.size(0) == count && key.sizes() == value.sizes() && key.dim() == 3 &&
                  key.size(0) == count && key.size(1) > 0 && query.size(1) % key.size(1) == 0 &&
                  query.size(2) == key.size(2),
              "query [sequences, heads, width] and key, value [sequences, key heads, width] do not fit: ",
              query.sizes(), ", ", key.sizes(), ", ", value.sizes());
  TORCH_CHECK(query.scalar_type() == key.scalar_type() && key.scalar_type() == value.scalar_type(),
              "query, key and value must have one dtype");
  TORCH_CHECK(window >= 0, "a window cannot be negative");
  TORCH_CHECK(keys.sizes() == values.sizes(), "the caches of keys and values must have one shape, not ",
              keys.sizes(), " and ", values.sizes());
  for (const Tensor& cache : {keys, values}) {
    TORCH_CHECK(cache.dim() == 4 && cache.is_contiguous() && cache.size(0) >= count &&
                    cache.size(2) == key.size(1) && cache.size(3) == key.size(2) &&
                    cache.scalar_type() == query.scalar_type(),
                "a cache must be dense ", query.scalar_type(), " [slots, capacity, ", key.size(1), ", ",
                key.size(2), "], not ", cache.scalar_type(), " ", cache.sizes());
  }
  int64_t longest = 0;
  for (const int64_t length : lengths) {
    TORCH_CHECK(length >= 0 && length < keys.size(1), "no room behind ", length, " tokens in a cache of ",
                keys.size(1));
    longest = std::max(longest, length);
  }
  const Tensor q = query.contiguous();
  const Tensor k = key.contiguous();
  const Tensor v = value.contiguous();
  Tensor output = at::empty(q.sizes(), q.options());
  withScalar(q, "cached_attention", [&](auto scalar) {
    using T = decltype(scalar);
    using W = Wide<T>;
    const int64_t keyHeads = k.size(1);
    const int64_t width = k.size(2);
    const int64_t group = q.size(1) / keyHeads;
    const int threads = at::get_num_threads();
    const int64_t each = group * (longest + 1 + width);
    const std::unique_ptr<W[]> scratch(new W[static_cast<size_t>(each) * threads]);
    const int64_t rowSize = keyHeads * width;
    const int64_t slotSize = keys.size(1) * rowSize;
    const T* ofQuery = q.const_data_ptr<T>();
    const T* ofKey = k.const_data_ptr<T>();
    const T* ofValue = v.const_data_ptr<T>();
    T* ofKeys = keys.mutable_data_ptr<T>();
    T* ofValues = values.mutable_data_ptr<T>();
    T* to = output.mutable_data_ptr<T>();
    forEachTask(count * keyHeads, threads, [&](int64_t task, int thread) {
      const int64_t sequence = task / keyHeads;
      const CachedAttention<T> call{
          .query = ofQuery + sequence * group * rowSize,
          .key = ofKey + sequence * rowSize,
          .value = ofValue + sequence * rowSize,
          .keys = ofKeys + sequence * slotSize,
          .values = ofValues + sequence * slotSize,
          .output = to + sequence * group * rowSize,
          .length = lengths[sequence],
          .keyHeads = keyHeads,
          .group = group,
          .width = width,
          .window = window,
          .scale = static_cast<W>(scale),
      };
      loops<T>().attendCached(call, task % keyHeads, scratch.get() + thread * each);
    });
  });
  wroteTo(keys);
  wroteTo(values);
  return output;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mallows, library) {
  library.def(
      "cached_attention(Tensor query, Tensor key, Tensor value, Tensor(a!) keys, Tensor(b!) values, int[] "
      "lengths, "
      "int window, float scale) -> Tensor");
  library.def(
      "packed_attention(Tensor query, Tensor key, Tensor value, int[] pieces, int window, float scale) -> "
      "Tensor");
}

TORCH_LIBRARY_IMPL(mallows, CPU, library) {
  library.impl("packed_attention", packedAttention);
  library.impl("cached_attention", cachedAttention);
}
TORCH_LIBRARY_IMPL(mallows, AutogradCPU, library) { library.impl("packed_attention", packedAttention); }

}  // namespace mallows::kernels
