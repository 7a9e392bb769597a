#include "autograd.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include "environment.h"
#include "values.h"

namespace mallows {
namespace {

/// `grad(outputs, inputs, gradOutputs, retainGraph, createGraph)` → handle or undefined per input.
napi_value grad(napi_env env, napi_callback_info info) {
  return guarded(env, "grad", [&] {
    const auto arguments = Arguments<5>(env, info);
    HandleTable& handles = environmentOf(env).handles;
    const auto gradients = torch::autograd::grad(
        toTensors(env, handles, arguments[0]), toTensors(env, handles, arguments[1]),
        toTensors(env, handles, arguments[2]), toBool(env, arguments[3]), toBool(env, arguments[4]),
        /*allow_unused=*/true);
    napi_value array;
    napi_create_array_with_length(env, gradients.size(), &array);
    for (size_t i = 0; i < gradients.size(); ++i) {
      const bool used = gradients[i].defined();
      napi_set_element(env, array, static_cast<uint32_t>(i),
                       used ? makeHandle(env, handles.add(gradients[i])) : makeUndefined(env));
    }
    return array;
  });
}

napi_value setGradEnabled(napi_env env, napi_callback_info info) {
  return guarded(env, "setGradEnabled", [&] {
    const bool enabled = toBool(env, Arguments<1>(env, info)[0]);
    const bool before = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(enabled);
    return makeBool(env, before);
  });
}

napi_value requiresGrad(napi_env env, napi_callback_info info) {
  return guarded(env, "requiresGrad", [&] {
    const auto arguments = Arguments<1>(env, info);
    return makeBool(env, environmentOf(env).handles.tensor(toHandle(env, arguments[0])).requires_grad());
  });
}

napi_value setRequiresGrad(napi_env env, napi_callback_info info) {
  return guarded(env, "setRequiresGrad", [&] {
    const auto arguments = Arguments<2>(env, info);
    environmentOf(env)
        .handles.tensor(toHandle(env, arguments[0]))
        .set_requires_grad(toBool(env, arguments[1]));
    return makeUndefined(env);
  });
}

}  // namespace

void defineAutograd(napi_env env, napi_value exports) {
  defineFunction(env, exports, "grad", grad);
  defineFunction(env, exports, "setGradEnabled", setGradEnabled);
  defineFunction(env, exports, "requiresGrad", requiresGrad);
  defineFunction(env, exports, "setRequiresGrad", setRequiresGrad);
}

}  // namespace mallows
