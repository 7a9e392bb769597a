// Products of matrices on the CPU that the project's own kernels are best at: the linear map with its way
// back, and with a weight that is laid out beforehand because it does not change for a while. Everywhere else
// libtorch's.
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include "elementwise.h"
#include "parallel.h"
#include "products.h"
#include "tensors.h"

namespace mallows::kernels {
namespace {

/// Rows that are multiplied together, at most; those of the left factor stay in a core's second-level cache.
constexpr int64_t kRows = 128;

/// Rows are divided in whole tiles.
constexpr int64_t kRowsOfTile = 16;

/// Panels of one task at most.
constexpr int64_t kPanels = 64;

/// Bytes of panels that are laid out before they are multiplied, if that is more than one task's.
constexpr int64_t kPackedBytes = 8 << 20;

/// Below this many rows laying the other factor out takes longer than the product.
constexpr int64_t kFewestRows = 32;

/// A way to multiply, and the type of the panels that it reads.
struct Way {
  const Multiplier* multiplier = nullptr;
  at::ScalarType packed = at::kFloat;

  explicit operator bool() const { return multiplier != nullptr; }
};

/// How matrices of a type are multiplied whose panels are of another or the same.
Way wayFor(at::ScalarType type, at::ScalarType packed) {
  if (type == at::kBFloat16 && packed == at::kBFloat16) return {multipliers().bf16, packed};
  if (type == at::kFloat && packed == at::kFloat) return {multipliers().fp32, packed};
  if (type == at::kFloat && packed == at::kBFloat16) return {multipliers().fp32AsBf16, packed};
  return {};
}

/// How x is multiplied with something of its type; nothing where that is up to libtorch, as matrices without
/// elements are.
Way wayFor(const Tensor& x) {
  if (!x.is_cpu() || x.dim() != 2 || x.numel() == 0) return {};
  if (x.scalar_type() != at::kFloat) return wayFor(x.scalar_type(), x.scalar_type());
  switch (at::globalContext().float32MatmulPrecision()) {
    case at::Float32MatmulPrecision::HIGHEST:
      return wayFor(at::kFloat, at::kFloat);
    case at::Float32MatmulPrecision::MEDIUM:
      return wayFor(at::kFloat, at::kBFloat16);
    default:
      return {};
  }
}

/// How left is multiplied with a matrix whose dimension `inner` meets left's columns.
Way wayFor(const Tensor& left, const Tensor& right, int64_t inner) {
  const bool alike = right.is_cpu() && right.dim() == 2 && right.numel() > 0 &&
                     left.scalar_type() == right.scalar_type() && left.dim() == 2 &&
                     left.size(1) == right.size(inner) && left.size(0) >= kFewestRows;
  return alike ? wayFor(left) : Way{};
}

/// A tensor as a factor, or nothing where neither of its dimensions is dense.
std::optional<Matrix> matrixOf(const Tensor& x) {
  if (x.stride(1) == 1 || x.size(1) == 1) return Matrix{x.const_data_ptr(), x.stride(0), false};
  if (x.stride(0) == 1 || x.size(0) == 1) return Matrix{x.const_data_ptr(), x.stride(1), true};
  return std::nullopt;
}

/// A factor and what keeps its memory.
struct Factor {
  Tensor tensor;
  Matrix matrix;

  explicit Factor(const Tensor& x) {
    const auto found = matrixOf(x);
    tensor = found ? x : x.contiguous();
    matrix = found ? *found : *matrixOf(tensor);
  }
};

int64_t quotientUp(int64_t count, int64_t size) { return (count + size - 1) / size; }

int64_t panelsOf(int64_t columns) { return quotientUp(columns, kPanelColumns); }

/// One of so many equal parts of `[0, count)`.
IndexRange part(int64_t count, int64_t index, int64_t parts) {
  return {count * index / parts, count * (index + 1) / parts};
}

/// Lays some panels of a right factor out from `to` on.
void packPanels(const Way& way, const Factor& factor, IndexRange panels, void* to) {
  const int64_t inner = factor.tensor.size(0);
  const int64_t size = way.multiplier->panelSize(inner);
  const auto bytes = size * static_cast<int64_t>(at::elementSize(way.packed));
  forEachPart(panels.end - panels.first, std::max<int64_t>(1, kGrain / size),
              [&](int64_t first, int64_t end, int64_t) {
                for (int64_t i = first; i < end; ++i) {
                  way.multiplier->packPanel(factor.matrix, inner, factor.tensor.size(1), panels.first + i,
                                            static_cast<std::byte*>(to) + i * bytes);
                }
              });
}

/// Memory for so many panels: `[panels, panel]`.
Tensor emptyPanels(const Way& way, const Tensor& right, int64_t panels) {
  return at::empty({panels, way.multiplier->panelSize(right.size(0))}, right.options().dtype(way.packed));
}

/// All panels of a right factor.
Tensor packAll(const Way& way, const Tensor& right) {
  const int64_t panels = panelsOf(right.size(1));
  Tensor packed = emptyPanels(way, right, panels);
  packPanels(way, Factor(right), {0, panels}, packed.mutable_data_ptr());
  return packed;
}

/// A product with the same left factor and output for several groups of panels.
class Run {
 public:
  Run(const Way& way, const Tensor& left, const Tensor& output, const std::optional<Tensor>& bias)
      : way_(way),
        factor_(left),
        bias_(bias ? bias->contiguous() : Tensor()),
        rows_(left.size(0)),
        product_{
            .left = factor_.matrix,
            .bias = bias ? bias_.const_data_ptr() : nullptr,
            .output = output.mutable_data_ptr(),
            .columns = output.size(1),
            .inner = left.size(1),
        } {}

  /// Adds to what the output holds.
  void accumulate() { product_.accumulate = true; }

  void compute(const void* panels, IndexRange range, const void* gate = nullptr) {
    product_.panels = panels;
    product_.gate = gate;
    product_.firstPanel = range.first;
    // A whole number of blocks of rows a thread, so that all finish together; enough tasks that a thread
    // which is held up holds up nothing else; and few enough panels that their sums stay in the cache where
    // the inner dimension takes several stretches.
    const int threads = at::get_num_threads();
    const int64_t tiles = quotientUp(rows_, kRowsOfTile);
    const int64_t fewest = quotientUp(rows_, kRows);
    const int64_t blocks = fewest < threads ? fewest : quotientUp(fewest, threads) * threads;
    const int64_t count = range.end - range.first;
    const int64_t wanted = std::max(quotientUp(4 * threads, blocks), quotientUp(count, kPanels));
    const int64_t groups = std::min(wanted, count);
    const int64_t rowsAtOnce = std::min(rows_, quotientUp(tiles, blocks) * kRowsOfTile);
    const int64_t bytes =
        quotientUp(way_.multiplier->scratch(product_, rowsAtOnce, quotientUp(count, groups)), 64) * 64;
    if (const int64_t needed = threads * bytes + 64; !scratch_.defined() || scratch_.numel() < needed) {
      scratch_ = at::empty({needed}, factor_.tensor.options().dtype(at::kByte));
    }
    const auto start = (reinterpret_cast<uintptr_t>(scratch_.mutable_data_ptr()) + 63) / 64 * 64;
    forEachTask(blocks * groups, threads, [&](int64_t task, int thread) {
      const IndexRange ofTiles = part(tiles, task / groups, blocks);
      const IndexRange ofPanels = part(count, task % groups, groups);
      way_.multiplier->multiply(product_,
                                {ofTiles.first * kRowsOfTile, std::min(rows_, ofTiles.end * kRowsOfTile)},
                                {range.first + ofPanels.first, range.first + ofPanels.end},
                                reinterpret_cast<void*>(start + thread * bytes));
    });
  }

 private:
  Way way_;
  Factor factor_;
  Tensor bias_;
  int64_t rows_;
  Product product_;
  Tensor scratch_;
};

/// left · a right factor that is laid out, + bias; or with a gate silu(left · gate) · (left · right).
Tensor multiplyPacked(const Way& way, const Tensor& left, const Tensor& panels, int64_t columns,
                      const std::optional<Tensor>& bias, const Tensor* gate = nullptr) {
  Tensor output = at::empty({left.size(0), columns}, left.options());
  if (output.numel() == 0) return output;
  Run run(way, left, output, bias);
  run.compute(panels.const_data_ptr(), {0, panelsOf(columns)},
              gate == nullptr ? nullptr : gate->const_data_ptr());
  return output;
}

/// output = or += left · right + bias, the right factor laid out a group of panels at a time, which then is
/// still in the cache and needs little memory.
void multiply(const Way& way, const Tensor& left, const Tensor& right, const Tensor& output,
              const std::optional<Tensor>& bias, bool accumulate) {
  const Factor factor(right);
  const int64_t all = panelsOf(right.size(1));
  const int64_t panelBytes =
      way.multiplier->panelSize(right.size(0)) * static_cast<int64_t>(at::elementSize(way.packed));
  const int64_t atOnce = std::min(all, std::max(kPanels, kPackedBytes / panelBytes));
  const Tensor panels = emptyPanels(way, right, atOnce);
  Run run(way, left, output, bias);
  if (accumulate) run.accumulate();
  for (int64_t first = 0; first < all; first += atOnce) {
    const IndexRange range{first, std::min(all, first + atOnce)};
    packPanels(way, factor, range, panels.mutable_data_ptr());
    run.compute(panels.const_data_ptr(), range);
  }
}

/// left `[rows, inner]` · right `[inner, columns]`, without a way back.
Tensor product(const Tensor& left, const Tensor& right) {
  const Way way = tracked({left, right}) ? Way{} : wayFor(left, right, 0);
  if (!way) return at::mm(left, right);
  Tensor output = at::empty({left.size(0), right.size(1)}, left.options());
  multiply(way, left, right, output, std::nullopt, false);
  return output;
}

/// sum += left · right, without a way back.
Tensor& addProduct(Tensor& sum, const Tensor& left, const Tensor& right) {
  const bool alike = sum.is_cpu() && sum.scalar_type() == left.scalar_type() && sum.is_contiguous() &&
                     sum.dim() == 2 && sum.size(0) == left.size(0) && sum.size(1) == right.size(1);
  const Way way = alike && !tracked({sum, left, right}) ? wayFor(left, right, 0) : Way{};
  if (!way) return sum.addmm_(left, right);
  multiply(way, left, right, sum, std::nullopt, true);
  wroteTo(sum);
  return sum;
}

Tensor multiplyByWeight(const Way& way, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
  Tensor output = at::empty({x.size(0), weight.size(0)}, x.options());
  multiply(way, x, weight.t(), output, bias, false);
  return output;
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    // Each is kept for the other's slope alone.
    context->save_for_backward(
        {weight.requires_grad() ? x : Tensor(), x.requires_grad() ? weight : Tensor()});
    context->saved_data["dense"] = weight.is_contiguous();
    context->saved_data["biased"] = bias.has_value();
    return multiplyByWeight(wayFor(x), x, weight, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& slopes) {
    refuseSecondDerivative("mallows::linear");
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor& dy = slopes[0];
    Tensor dx, dWeight, dBias;
    if (context->needs_input_grad(0)) dx = product(dy, weight);
    if (context->needs_input_grad(1)) {
      // Stored as the weight is.
      dWeight = context->saved_data["dense"].toBool() ? product(dy.t(), x) : product(x.t(), dy).t();
    }
    // A bias that is not there is no input either.
    if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) dBias = dy.sum(0);
    return {dx, dWeight, dBias};
  }
};

bool fits(const std::optional<Tensor>& bias, const Tensor& x, int64_t out) {
  return !bias || (bias->is_cpu() && bias->scalar_type() == x.scalar_type() && bias->dim() == 1 &&
                   bias->size(0) == out);
}

/// x `[rows, in]` · weightᵀ + bias; weight `[out, in]`.
Tensor linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  const Way way = wayFor(x, weight, 1);
  if (!way || !fits(bias, x, weight.size(0))) return at::linear(x, weight, bias);
  if (tracked({x, weight}) || (bias && tracked({*bias}))) return Linear::apply(x, weight, bias);
  return multiplyByWeight(way, x, weight, bias);
}

/// The map's output, and `inner`: scale · x · aᵀ `[rows, rank]`. The update is added by the product that
/// makes it, so that nothing of the output's size lies between; the scale is applied where the fewest numbers
/// are.
Tensor adapted(const Way& way, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               const Tensor& a, const Tensor& b, double scale, Tensor& inner) {
  inner = multiplyByWeight(way, x, a, std::nullopt).mul_(scale);
  Tensor output = multiplyByWeight(way, x, weight, bias);
  multiply(way, inner, b.t(), output, std::nullopt, true);
  return output;
}

/// A map that does not change, with a low-rank update that does.
struct AdaptedLinear : torch::autograd::Function<AdaptedLinear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias, const Tensor& a, const Tensor& b, double scale) {
    Tensor inner;
    Tensor output = adapted(wayFor(x), x, weight, bias, a, b, scale, inner);
    context->save_for_backward({x, weight, a, b, inner});
    context->saved_data["scale"] = scale;
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& slopes) {
    refuseSecondDerivative("mallows::adapted_linear");
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor& a = saved[2];
    const Tensor& b = saved[3];
    const Tensor& inner = saved[4];
    const Tensor& dy = slopes[0];
    const Tensor dInner = product(dy, b).mul_(context->saved_data["scale"].toDouble());
    Tensor dx;
    if (context->needs_input_grad(0)) {
      dx = product(dy, weight);
      addProduct(dx, dInner, a);
    }
    return {dx, Tensor(), Tensor(), product(dInner.t(), x), product(dy.t(), inner), Tensor()};
  }
};

/// x · weightᵀ + bias + scale · (x · aᵀ) · bᵀ.
Tensor adaptedLinear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                     const Tensor& a, const Tensor& b, double scale) {
  const bool frozen = !tracked({weight}) && !(bias && tracked({*bias}));
  const bool fit = fits(bias, x, weight.size(0)) && b.dim() == 2 && b.size(0) == weight.size(0) &&
                   b.is_cpu() && b.scalar_type() == x.scalar_type() && a.dim() == 2 && a.size(0) == b.size(1);
  const Way way = frozen && fit && wayFor(x, weight, 1) ? wayFor(x, a, 1) : Way{};
  if (!way) {
    const Tensor update = kernels::linear(kernels::linear(x, a, std::nullopt), b, std::nullopt);
    return at::add(kernels::linear(x, weight, bias), update, scale);
  }
  if (tracked({x, a, b})) return AdaptedLinear::apply(x, weight, bias, a, b, scale);
  Tensor inner;
  return adapted(way, x, weight, bias, a, b, scale, inner);
}

/// `weight [out, in]` laid out for `packed_linear`: as our own kernels read it, or else as oneDNN's bf16
/// kernels do, which without that lay it out anew at every call.
Tensor packLinear(const Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.is_cpu(), "the weight must be [out, in] on the CPU, not ",
              weight.sizes(), " on ", weight.device());
  const c10::NoGradGuard noGrad;
  if (const Way way = wayFor(weight)) return packAll(way, weight.detach().t());
  static const auto reorder = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                  .typed<Tensor(const Tensor&, std::optional<int64_t>)>();
  return reorder.call(weight.detach().contiguous(), std::nullopt);
}

/// How x is multiplied with a weight that is laid out.
Way wayForPacked(const Tensor& x, const Tensor& packed, int64_t out) {
  const Way way = wayFor(x.scalar_type(), packed.scalar_type());
  TORCH_CHECK(way && x.is_cpu() && x.dim() == 2 && packed.is_cpu() && packed.dim() == 2 &&
                  packed.is_contiguous() && packed.size(0) == panelsOf(out) &&
                  packed.size(1) == way.multiplier->panelSize(x.size(1)),
              "the weight must come from mallows::pack_linear, for ", x.sizes(), " → ", out);
  return way;
}

/// `x [rows, in]` → `x · weightᵀ + bias` `[rows, out]`, without a way back.
Tensor packedLinear(const Tensor& x, const Tensor& packed, int64_t out, const std::optional<Tensor>& bias) {
  TORCH_CHECK(!tracked({x}), "mallows::packed_linear has no derivative");
  const c10::NoGradGuard noGrad;
  if (!packed.is_mkldnn()) {
    const Way way = wayForPacked(x, packed, out);
    TORCH_CHECK(fits(bias, x, out), "the bias must be ", x.scalar_type(), " [", out, "]");
    return multiplyPacked(way, x, packed, out, bias);
  }
  static const auto multiply =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::string_view,
                        c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>)>();
  return multiply.call(x.contiguous(), packed, bias, "none", c10::List<std::optional<at::Scalar>>(),
                       std::nullopt);
}

/// silu(x · gateᵀ) · (x · upᵀ) `[rows, out]`, without a way back: what lies between never leaves the core.
Tensor packedSiluGate(const Tensor& x, const Tensor& gate, const Tensor& up, int64_t out) {
  if (gate.is_mkldnn() || up.is_mkldnn()) {
    return siluGate(packedLinear(x, gate, out, std::nullopt), packedLinear(x, up, out, std::nullopt));
  }
  TORCH_CHECK(!tracked({x}), "mallows::packed_silu_gate has no derivative");
  const Way way = wayForPacked(x, up, out);
  TORCH_CHECK(gate.scalar_type() == up.scalar_type(), "gate and up must be packed alike");
  wayForPacked(x, gate, out);
  return multiplyPacked(way, x, up, out, std::nullopt, &gate);
}

}  // namespace

// For tensors of every device and of oneDNN alike, so not under the CPU's key.
TORCH_LIBRARY_FRAGMENT(mallows, library) {
  library.def("product(Tensor left, Tensor right) -> Tensor", product);
  library.def("add_product_(Tensor(a!) sum, Tensor left, Tensor right) -> Tensor(a!)", addProduct);
  library.def("linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor", linear);
  library.def(
      "adapted_linear(Tensor x, Tensor weight, Tensor? bias, Tensor a, Tensor b, float scale) -> Tensor",
      adaptedLinear);
  library.def("pack_linear(Tensor weight) -> Tensor", packLinear);
  library.def("packed_silu_gate(Tensor x, Tensor gate, Tensor up, int out) -> Tensor", packedSiluGate);
  library.def("packed_linear(Tensor x, Tensor packed, int out, Tensor? bias) -> Tensor", packedLinear);
}

}  // namespace mallows::kernels
