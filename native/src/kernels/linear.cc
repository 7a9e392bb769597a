// Products of bf16 matrices on the CPU's matrix tiles, where it has them: the linear map with its way back,
// and with a weight that is laid out beforehand because it does not change for a while. Everywhere else
// libtorch's.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include "elementwise.h"
#include "parallel.h"
#include "tensors.h"
#include "tiles.h"

namespace mallows::kernels {

bool tileProducts() {
  static const bool have = kThreaded && tilesAvailable();
  return have;
}

namespace {

/// Rows that are multiplied together; with 2048 columns they stay in a core's second-level cache.
constexpr int64_t kRows = 128;

/// Panels of one task at most.
constexpr int64_t kPanels = 64;

/// Below this many rows laying the other factor out takes longer than the product.
constexpr int64_t kFewestRows = 32;

/// Matrices without elements are left to libtorch.
bool onTiles(const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16 && x.dim() == 2 && x.numel() > 0 && tileProducts();
}

/// A tensor as a factor, or nothing where neither of its dimensions is dense.
std::optional<Matrix> matrixOf(const Tensor& x) {
  const auto* data = static_cast<const c10::BFloat16*>(x.const_data_ptr());
  if (x.stride(1) == 1 || x.size(1) == 1) return Matrix{data, x.stride(0), false};
  if (x.stride(0) == 1 || x.size(0) == 1) return Matrix{data, x.stride(1), true};
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

int64_t panelsOf(int64_t columns) { return (columns + kPanelColumns - 1) / kPanelColumns; }

/// `[panels, panel]`.
Tensor packPanels(const Tensor& right) {
  const Factor factor(right);
  const int64_t inner = right.size(0);
  const int64_t columns = right.size(1);
  const int64_t panels = panelsOf(columns);
  Tensor packed = at::empty({panels, panelSize(inner)}, right.options());
  auto* to = packed.mutable_data_ptr<c10::BFloat16>();
  forEachPart(panels, std::max<int64_t>(1, kGrain / panelSize(inner)),
              [&](int64_t first, int64_t end, int64_t) {
                for (int64_t panel = first; panel < end; ++panel) {
                  packPanel(factor.matrix, inner, columns, panel, to + panel * panelSize(inner));
                }
              });
  return packed;
}

/// left · right + bias, or with a gate silu(left · gate) · (left · right).
Tensor multiplyPacked(const Tensor& left, const Tensor& panels, int64_t columns,
                      const std::optional<Tensor>& bias, const Tensor* gate = nullptr) {
  const Factor factor(left);
  const int64_t rows = left.size(0);
  Tensor output = at::empty({rows, columns}, left.options());
  if (rows == 0) return output;
  const Tensor offsets = bias ? bias->contiguous() : Tensor();
  const TileProduct product{
      .left = factor.matrix,
      .gate = gate == nullptr ? nullptr : gate->const_data_ptr<c10::BFloat16>(),
      .panels = panels.const_data_ptr<c10::BFloat16>(),
      .bias = bias ? offsets.const_data_ptr<c10::BFloat16>() : nullptr,
      .output = output.mutable_data_ptr<c10::BFloat16>(),
      .columns = columns,
      .inner = left.size(1),
  };
  // Enough tasks that a thread which is held up holds up nothing else, and few enough panels that their sums
  // stay in the cache where the inner dimension takes several stretches.
  const int threads = at::get_num_threads();
  const int64_t blocks = (rows + kRows - 1) / kRows;
  const int64_t allPanels = panelsOf(columns);
  const int64_t wanted = std::max((4 * threads + blocks - 1) / blocks, (allPanels + kPanels - 1) / kPanels);
  const int64_t groups = std::min(wanted, allPanels);
  const int64_t panelsAtOnce = (allPanels + groups - 1) / groups;
  const int64_t bytes = (productScratch(product, std::min(rows, kRows), panelsAtOnce) + 63) / 64 * 64;
  Tensor scratch = at::empty({threads * bytes + 64}, left.options().dtype(at::kByte));
  const auto start = (reinterpret_cast<uintptr_t>(scratch.mutable_data_ptr()) + 63) / 64 * 64;
  forEachTask(blocks * groups, threads, [&](int64_t task, int thread) {
    const int64_t row = task / groups * kRows;
    const int64_t panel = task % groups * panelsAtOnce;
    if (panel >= allPanels) return;
    multiply(product, {row, std::min(rows, row + kRows)}, {panel, std::min(allPanels, panel + panelsAtOnce)},
             reinterpret_cast<void*>(start + thread * bytes));
  });
  return output;
}

/// left `[rows, inner]` · right `[inner, columns]`, without a way back.
Tensor product(const Tensor& left, const Tensor& right) {
  const bool tiles = onTiles(left) && onTiles(right) && left.size(1) == right.size(0) &&
                     left.size(0) >= kFewestRows && !tracked({left, right});
  if (!tiles) return at::mm(left, right);
  return multiplyPacked(left, packPanels(right), right.size(1), std::nullopt);
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["biased"] = bias.has_value();
    return multiplyPacked(x, packPanels(weight.t()), weight.size(0), bias);
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
      dWeight = weight.is_contiguous() ? product(dy.t(), x) : product(x.t(), dy).t();
    }
    // A bias that is not there is no input either.
    if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) dBias = dy.sum(0);
    return {dx, dWeight, dBias};
  }
};

bool fits(const std::optional<Tensor>& bias, int64_t out) {
  return !bias || (bias->scalar_type() == at::kBFloat16 && bias->dim() == 1 && bias->size(0) == out);
}

/// x `[rows, in]` · weightᵀ + bias; weight `[out, in]`.
Tensor linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  const bool tiles = onTiles(x) && onTiles(weight) && x.size(0) >= kFewestRows &&
                     x.size(1) == weight.size(1) && fits(bias, weight.size(0));
  if (!tiles) return at::linear(x, weight, bias);
  if (tracked({x, weight}) || (bias && tracked({*bias}))) return Linear::apply(x, weight, bias);
  return multiplyPacked(x, packPanels(weight.t()), weight.size(0), bias);
}

/// `weight [out, in]` laid out for `packed_linear`: as our tiles read it, or else as oneDNN's bf16 kernels
/// do, which without that lay it out anew at every call.
Tensor packLinear(const Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.is_cpu(), "the weight must be [out, in] on the CPU, not ",
              weight.sizes(), " on ", weight.device());
  const c10::NoGradGuard noGrad;
  if (onTiles(weight)) return packPanels(weight.detach().t());
  static const auto reorder = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                  .typed<Tensor(const Tensor&, std::optional<int64_t>)>();
  return reorder.call(weight.detach().contiguous(), std::nullopt);
}

void checkPanels(const Tensor& x, const Tensor& packed, int64_t out) {
  TORCH_CHECK(x.is_cpu() && x.scalar_type() == at::kBFloat16 && x.dim() == 2 && packed.dim() == 2 &&
                  packed.size(0) == panelsOf(out) && packed.size(1) == panelSize(x.size(1)),
              "the weight must come from mallows::pack_linear, for ", x.sizes(), " → ", out);
}

/// `x [rows, in]` → `x · weightᵀ + bias` `[rows, out]`, without a way back.
Tensor packedLinear(const Tensor& x, const Tensor& packed, int64_t out, const std::optional<Tensor>& bias) {
  TORCH_CHECK(!tracked({x}), "mallows::packed_linear has no derivative");
  const c10::NoGradGuard noGrad;
  if (!packed.is_mkldnn()) {
    checkPanels(x, packed, out);
    TORCH_CHECK(fits(bias, out), "the bias must be bfloat16 [", out, "]");
    return multiplyPacked(x, packed, out, bias);
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
  checkPanels(x, gate, out);
  checkPanels(x, up, out);
  return multiplyPacked(x, up, out, std::nullopt, &gate);
}

}  // namespace

// For tensors of every device and of oneDNN alike, so not under the CPU's key.
TORCH_LIBRARY_FRAGMENT(mallows, library) {
  library.def("product(Tensor left, Tensor right) -> Tensor", product);
  library.def("linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor", linear);
  library.def("pack_linear(Tensor weight) -> Tensor", packLinear);
  library.def("packed_silu_gate(Tensor x, Tensor gate, Tensor up, int out) -> Tensor", packedSiluGate);
  library.def("packed_linear(Tensor x, Tensor packed, int out, Tensor? bias) -> Tensor", packedLinear);
}

}  // namespace mallows::kernels
