// What the kernels' tensor side shares: checks, and the step from a tensor's dtype to a C++ type.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "loops.h"

namespace mallows::kernels {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Calls `body` with a value of the tensor's scalar type.
template <typename Body>
void withScalar(const Tensor& x, const char* operation, const Body& body) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return body(float{});
    case at::kDouble:
      return body(double{});
    case at::kBFloat16:
      return body(c10::BFloat16{});
    default:
      TORCH_CHECK(false, operation, " computes float32, float64 and bfloat16 on the CPU, not ",
                  x.scalar_type());
  }
}

/// fp64 for fp64, otherwise fp32.
inline at::TensorOptions wideOptions(const Tensor& x) {
  return x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

inline bool tracked(std::initializer_list<Tensor> inputs) {
  if (!c10::GradMode::is_enabled()) return false;
  return std::any_of(inputs.begin(), inputs.end(), [](const Tensor& x) { return x.requires_grad(); });
}

/// The ways back are closed forms that autograd does not see into.
inline void refuseSecondDerivative(const char* operation) {
  TORCH_CHECK(!c10::GradMode::is_enabled(), operation, " has no second derivative");
}

/// Tells autograd that a tensor's elements are new: a graph that still needs the old ones then says so.
inline void wroteTo(const Tensor& x) { x.unsafeGetTensorImpl()->bump_version(); }

/// A view of `[tokens, heads, width]` as pointers; the last dimension has to be dense.
template <typename T>
Heads<T> headsOf(const Tensor& x) {
  return {static_cast<T*>(x.data_ptr()), x.stride(0), x.stride(1)};
}

inline Tensor denseRows(const Tensor& x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

}  // namespace mallows::kernels
