// Norm, gated unit and rotation of a transformer's layer, each one pass over memory and each with its way
// back.
#include "elementwise.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "parallel.h"
#include "tensors.h"

namespace mallows::kernels {
namespace {

int64_t rowGrain(int64_t width) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width)); }

void checkNorm(const Tensor& x, const Tensor& weight) {
  TORCH_CHECK(weight.dim() == 1 && x.dim() >= 1 && x.size(-1) == weight.size(0), "the weight must be [",
              x.dim() > 0 ? x.size(-1) : 0, "], as wide as x, not ", weight.sizes());
  const auto wide = c10::typeMetaToScalarType(wideOptions(x).dtype());
  TORCH_CHECK(weight.scalar_type() == x.scalar_type() || weight.scalar_type() == wide,
              "the weight must have x's dtype or ", wide, ", not ", weight.scalar_type(), " beside ",
              x.scalar_type());
}

/// Calls `body` with the norm for the weight's type, and the weight's elements.
template <typename T, typename Body>
void withNorm(const Tensor& weight, const Body& body) {
  if (weight.scalar_type() == c10::CppTypeToScalarType<T>::value) {
    body(loops<T>().norm, weight.const_data_ptr<T>());
  } else {
    body(loops<T>().wideNorm, weight.const_data_ptr<Wide<T>>());
  }
}

/// y and the rows' scales.
std::pair<Tensor, Tensor> normForward(const Tensor& x, const Tensor& weight, double epsilon) {
  const int64_t width = weight.size(0);
  const int64_t rows = width == 0 ? 0 : x.numel() / width;
  Tensor y = at::empty_like(x, at::MemoryFormat::Contiguous);
  Tensor scales = at::empty({rows}, wideOptions(x));
  withScalar(x, "rms_norm", [&](auto scalar) {
    using T = decltype(scalar);
    const T* from = x.const_data_ptr<T>();
    T* to = y.mutable_data_ptr<T>();
    auto* kept = scales.mutable_data_ptr<Wide<T>>();
    withNorm<T>(weight, [&](const auto& norm, const auto* factors) {
      forEachPart(rows, rowGrain(width), [&](int64_t first, int64_t end, int64_t) {
        norm.forward(from + first * width, factors, static_cast<Wide<T>>(epsilon), end - first, width,
                     to + first * width, kept + first);
      });
    });
  });
  return {y, scales};
}

std::pair<Tensor, Tensor> normBackward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                                       const Tensor& scales, bool wantsWeight) {
  const int64_t width = weight.size(0);
  const int64_t rows = scales.size(0);
  Tensor dx = at::empty_like(x, at::MemoryFormat::Contiguous);
  Tensor dWeight;
  withScalar(x, "rms_norm", [&](auto scalar) {
    using T = decltype(scalar);
    const T* slope = dy.const_data_ptr<T>();
    const T* from = x.const_data_ptr<T>();
    const auto* kept = scales.const_data_ptr<Wide<T>>();
    T* to = dx.mutable_data_ptr<T>();
    Tensor sums = wantsWeight ? at::zeros({at::get_num_threads(), width}, wideOptions(x)) : Tensor();
    auto* partial = wantsWeight ? sums.mutable_data_ptr<Wide<T>>() : nullptr;
    withNorm<T>(weight, [&](const auto& norm, const auto* factors) {
      forEachPart(rows, rowGrain(width), [&](int64_t first, int64_t end, int64_t part) {
        norm.backward(slope + first * width, from + first * width, factors, kept + first, end - first, width,
                      to + first * width, wantsWeight ? partial + part * width : nullptr);
      });
    });
    if (wantsWeight) dWeight = sums.sum(0).to(weight.scalar_type());
  });
  return {dx, dWeight};
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, double epsilon) {
    auto [y, scales] = normForward(x, weight, epsilon);
    context->save_for_backward({x, weight, scales});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& slopes) {
    refuseSecondDerivative("mallows::rms_norm");
    const variable_list saved = context->get_saved_variables();
    auto [dx, dWeight] =
        normBackward(slopes[0].contiguous(), saved[0], saved[1], saved[2], context->needs_input_grad(1));
    return {dx, dWeight, Tensor()};
  }
};

Tensor rmsNorm(const Tensor& x, const Tensor& weight, double epsilon) {
  checkNorm(x, weight);
  const Tensor dense = x.contiguous();
  if (tracked({x, weight})) return RmsNorm::apply(dense, weight.contiguous(), epsilon);
  return normForward(dense, weight.contiguous(), epsilon).first;
}

/// A gated unit by its activation.
struct SiluUnit {
  static constexpr const char* kName = "silu_gate";
  template <typename T>
  static const GatedUnit<T>& loop() {
    return loops<T>().siluGate;
  }
};

struct GeluUnit {
  static constexpr const char* kName = "gelu_gate";
  template <typename T>
  static const GatedUnit<T>& loop() {
    return loops<T>().geluGate;
  }
};

template <typename Unit>
Tensor gatedForward(const Tensor& gate, const Tensor& up) {
  Tensor y = at::empty_like(gate);
  withScalar(gate, Unit::kName, [&](auto scalar) {
    using T = decltype(scalar);
    const T* gates = gate.const_data_ptr<T>();
    const T* values = up.const_data_ptr<T>();
    T* to = y.mutable_data_ptr<T>();
    forEachPart(gate.numel(), kGrain, [&](int64_t first, int64_t end, int64_t) {
      Unit::template loop<T>().forward(gates + first, values + first, end - first, to + first);
    });
  });
  return y;
}

template <typename Unit>
struct Gated : torch::autograd::Function<Gated<Unit>> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up) {
    context->save_for_backward({gate, up});
    return gatedForward<Unit>(gate, up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& slopes) {
    refuseSecondDerivative(Unit::kName);
    const variable_list saved = context->get_saved_variables();
    const Tensor dy = slopes[0].contiguous();
    Tensor dGate = at::empty_like(dy);
    Tensor dUp = at::empty_like(dy);
    withScalar(dy, Unit::kName, [&](auto scalar) {
      using T = decltype(scalar);
      const T* slope = dy.const_data_ptr<T>();
      const T* gates = saved[0].const_data_ptr<T>();
      const T* values = saved[1].const_data_ptr<T>();
      T* gateSlope = dGate.mutable_data_ptr<T>();
      T* valueSlope = dUp.mutable_data_ptr<T>();
      forEachPart(dy.numel(), kGrain, [&](int64_t first, int64_t end, int64_t) {
        Unit::template loop<T>().backward(slope + first, gates + first, values + first, end - first,
                                          gateSlope + first, valueSlope + first);
      });
    });
    return {dGate, dUp};
  }
};

template <typename Unit>
Tensor gated(const Tensor& gate, const Tensor& up) {
  TORCH_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(),
              "gate and up must have one shape and dtype, not ", gate.sizes(), " ", gate.scalar_type(),
              " and ", up.sizes(), " ", up.scalar_type());
  if (tracked({gate, up})) return Gated<Unit>::apply(gate.contiguous(), up.contiguous());
  return gatedForward<Unit>(gate.contiguous(), up.contiguous());
}

}  // namespace

Tensor siluGate(const Tensor& gate, const Tensor& up) { return gated<SiluUnit>(gate, up); }

namespace {

Tensor rotated(const Tensor& x, const Tensor& cos, const Tensor& sin, bool back) {
  Tensor y = at::empty(x.sizes(), x.options());
  withScalar(x, "rotate", [&](auto scalar) {
    using T = decltype(scalar);
    const int64_t width = cos.size(-1);
    const Heads<const T> from = headsOf<const T>(x);
    const Heads<T> to = headsOf<T>(y);
    const T* cosines = cos.const_data_ptr<T>();
    const T* sines = sin.const_data_ptr<T>();
    forEachPart(x.size(0), rowGrain(x.size(1) * x.size(2)), [&](int64_t first, int64_t end, int64_t) {
      loops<T>().rotateTokens({from.at(first, 0), from.tokenStride, from.headStride}, cosines + first * width,
                              sines + first * width, end - first, x.size(1), x.size(2), width, back,
                              {to.at(first, 0), to.tokenStride, to.headStride});
    });
  });
  return y;
}

struct Rotate : torch::autograd::Function<Rotate> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cos, const Tensor& sin) {
    context->save_for_backward({cos, sin});
    return rotated(x, cos, sin, false);
  }

  static variable_list backward(AutogradContext* context, const variable_list& slopes) {
    refuseSecondDerivative("mallows::rotate");
    const variable_list saved = context->get_saved_variables();
    return {rotated(denseRows(slopes[0]), saved[0], saved[1], true), Tensor(), Tensor()};
  }
};

Tensor rotate(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  TORCH_CHECK(x.dim() == 3, "x must be [tokens, heads, width], not ", x.sizes());
  for (const Tensor& table : {cos, sin}) {
    TORCH_CHECK(table.scalar_type() == x.scalar_type() && table.dim() >= 2 && table.size(0) == x.size(0) &&
                    table.size(-1) % 2 == 0 && table.size(-1) <= x.size(2) &&
                    table.numel() == table.size(0) * table.size(-1),
                "the tables must be ", x.scalar_type(), " [", x.size(0), ", 1, even width up to ", x.size(2),
                "], not ", table.scalar_type(), " ", table.sizes());
  }
  TORCH_CHECK(cos.size(-1) == sin.size(-1), "both tables must be equally wide, not ", cos.size(-1), " and ",
              sin.size(-1));
  TORCH_CHECK(!tracked({cos, sin}), "the tables of mallows::rotate have no derivative");
  const Tensor rows = denseRows(x);
  const Tensor cosines = cos.contiguous();
  const Tensor sines = sin.contiguous();
  return tracked({x}) ? Rotate::apply(rows, cosines, sines) : rotated(rows, cosines, sines, false);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mallows, library) {
  library.def("rms_norm(Tensor x, Tensor weight, float epsilon) -> Tensor");
  library.def("silu_gate(Tensor gate, Tensor up) -> Tensor");
  library.def("gelu_gate(Tensor gate, Tensor up) -> Tensor");
  library.def("rotate(Tensor x, Tensor cos, Tensor sin) -> Tensor");
}

// On `CompositeImplicitAutograd`'s key would run for every device; these are for the CPU, with or without a
// graph.
TORCH_LIBRARY_IMPL(mallows, CPU, library) {
  library.impl("rms_norm", rmsNorm);
  library.impl("silu_gate", siluGate);
  library.impl("gelu_gate", gated<GeluUnit>);
  library.impl("rotate", rotate);
}

TORCH_LIBRARY_IMPL(mallows, AutogradCPU, library) {
  library.impl("rms_norm", rmsNorm);
  library.impl("silu_gate", siluGate);
  library.impl("gelu_gate", gated<GeluUnit>);
  library.impl("rotate", rotate);
}

}  // namespace mallows::kernels
