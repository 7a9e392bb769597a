// Products with a weight that does not change for a while: oneDNN keeps the weight in blocks in the order
// that its bf16 kernels read, and without that puts it in that order again at every call.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "tensors.h"

namespace mallows::kernels {
namespace {

/// `weight [out, in]` in oneDNN's own layout, opaque to every operator but `packed_linear`.
Tensor packLinear(const Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.is_cpu(), "the weight must be [out, in] on the CPU, not ",
              weight.sizes(), " on ", weight.device());
  static const auto reorder = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                                  .typed<Tensor(const Tensor&, std::optional<int64_t>)>();
  const c10::NoGradGuard noGrad;
  return reorder.call(weight.detach().contiguous(), std::nullopt);
}

/// `x [rows, in]` → `x · weightᵀ + bias`, without a way back.
Tensor packedLinear(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& bias) {
  TORCH_CHECK(packed.is_mkldnn(), "the weight must come from mallows::pack_linear");
  TORCH_CHECK(!tracked({x}), "mallows::packed_linear has no derivative");
  static const auto product =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::string_view,
                        c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>)>();
  const c10::NoGradGuard noGrad;
  return product.call(x.contiguous(), packed, bias, "none", c10::List<std::optional<at::Scalar>>(),
                      std::nullopt);
}

}  // namespace

// For tensors of the CPU and of oneDNN alike, so not under the CPU's key.
TORCH_LIBRARY_FRAGMENT(mallows, library) {
  library.def("pack_linear(Tensor weight) -> Tensor", packLinear);
  library.def("packed_linear(Tensor x, Tensor packed, Tensor? bias) -> Tensor", packedLinear);
}

}  // namespace mallows::kernels
