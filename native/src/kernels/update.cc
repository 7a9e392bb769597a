// Optimiser updates: weights, moments and the copy to compute with, in one pass over each.
#include <torch/library.h>

#include <cmath>
#include <vector>

#include "parallel.h"
#include "tensors.h"

namespace mallows::kernels {
namespace {

void checkSame(const Tensor& x, const Tensor& like, at::ScalarType type, const char* what) {
  TORCH_CHECK(x.sizes() == like.sizes() && x.is_contiguous() && x.scalar_type() == type, what,
              " must be dense ", like.sizes(), " ", type, ", not ", x.sizes(), " ", x.scalar_type());
}

/// Calls `body` with the gradient's type and pointers to all of one update, part by part.
template <typename Body>
void update(const Tensor& master, const Tensor& gradient, std::initializer_list<const Tensor*> slots,
            const std::optional<Tensor>& copy, const char* operation, const Body& body) {
  const at::ScalarType wide = gradient.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  checkSame(master, master, wide, "the weights");
  checkSame(gradient, master, gradient.scalar_type(), "the gradient");
  for (const Tensor* slot : slots) checkSame(*slot, master, wide, "optimiser state");
  if (copy) checkSame(*copy, master, at::kBFloat16, "the copy");
  withScalar(gradient, operation, [&](auto scalar) {
    using T = decltype(scalar);
    using W = Wide<T>;
    auto* weights = static_cast<W*>(master.data_ptr());
    const T* slopes = gradient.const_data_ptr<T>();
    auto* narrowed = copy ? static_cast<c10::BFloat16*>(copy->data_ptr()) : nullptr;
    forEachPart(master.numel(), kGrain, [&](int64_t first, int64_t end, int64_t) {
      body(weights + first, slopes + first, first, narrowed == nullptr ? nullptr : narrowed + first,
           end - first);
    });
  });
  wroteTo(master);
  for (const Tensor* slot : slots) wroteTo(*slot);
  if (copy) wroteTo(*copy);
}

void adamw(const Tensor& master, const Tensor& gradient, const Tensor& mean, const Tensor& meanSquare,
           const std::optional<Tensor>& copy, const Tensor& updates, double gradientScale,
           double learningRate, double beta1, double beta2, double epsilon, double weightDecay) {
  const double count = updates.item<double>();
  update(master, gradient, {&mean, &meanSquare}, copy, "adamw_",
         [&]<typename W, typename T>(W* weights, const T* slopes, int64_t first, c10::BFloat16* narrowed,
                                     int64_t size) {
           const AdamWStep<W> step{
               .gradientScale = static_cast<W>(gradientScale),
               .learningRate = static_cast<W>(learningRate),
               .beta1 = static_cast<W>(beta1),
               .beta2 = static_cast<W>(beta2),
               .epsilon = static_cast<W>(epsilon),
               .weightDecay = static_cast<W>(weightDecay),
               .correction1 = static_cast<W>(1 - std::pow(beta1, count)),
               .correction2 = static_cast<W>(1 - std::pow(beta2, count)),
           };
           loops<T>().adamw(weights, slopes, static_cast<W*>(mean.data_ptr()) + first,
                            static_cast<W*>(meanSquare.data_ptr()) + first, narrowed, size, step);
         });
}

void rmsprop(const Tensor& master, const Tensor& gradient, const Tensor& meanSquare,
             const std::optional<Tensor>& copy, double gradientScale, double learningRate, double alpha,
             double epsilon, double weightDecay) {
  update(master, gradient, {&meanSquare}, copy, "rmsprop_",
         [&]<typename W, typename T>(W* weights, const T* slopes, int64_t first, c10::BFloat16* narrowed,
                                     int64_t size) {
           const RmsPropStep<W> step{
               .gradientScale = static_cast<W>(gradientScale),
               .learningRate = static_cast<W>(learningRate),
               .alpha = static_cast<W>(alpha),
               .epsilon = static_cast<W>(epsilon),
               .weightDecay = static_cast<W>(weightDecay),
           };
           loops<T>().rmsprop(weights, slopes, static_cast<W*>(meanSquare.data_ptr()) + first, narrowed, size,
                              step);
         });
}

/// Σ x² over a dense tensor, in fp64, in an order that does not depend on chance.
double sumOfSquares(const Tensor& x) {
  const Tensor dense = x.contiguous();
  std::vector<double> sums(at::get_num_threads());
  withScalar(dense, "sum_of_squares", [&](auto scalar) {
    using T = decltype(scalar);
    const T* values = dense.const_data_ptr<T>();
    forEachPart(dense.numel(), kGrain, [&](int64_t first, int64_t end, int64_t part) {
      sums[part] = loops<T>().sumOfSquares(values + first, end - first);
    });
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mallows, library) {
  library.def(
      "adamw_(Tensor(a!) master, Tensor gradient, Tensor(b!) mean, Tensor(c!) mean_square, Tensor(d!)? copy, "
      "Tensor updates, float gradient_scale, float learning_rate, float beta1, float beta2, float epsilon, "
      "float weight_decay) -> ()");
  library.def(
      "rmsprop_(Tensor(a!) master, Tensor gradient, Tensor(b!) mean_square, Tensor(c!)? copy, float "
      "gradient_scale, "
      "float learning_rate, float smoothing, float epsilon, float weight_decay) -> ()");
  library.def("sum_of_squares(Tensor x) -> float");
}

TORCH_LIBRARY_IMPL(mallows, CPU, library) {
  library.impl("adamw_", adamw);
  library.impl("rmsprop_", rmsprop);
  library.impl("sum_of_squares", sumOfSquares);
}

}  // namespace mallows::kernels
