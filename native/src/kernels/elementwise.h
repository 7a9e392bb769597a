#pragma once

#include <ATen/core/Tensor.h>

namespace mallows::kernels {

/// silu(gate) · up, with its way back.
at::Tensor siluGate(const at::Tensor& gate, const at::Tensor& up);

}  // namespace mallows::kernels
