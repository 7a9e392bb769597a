// Gradients of one segment at a time, and whether graphs are recorded.
#pragma once

#include <node_api.h>

namespace mallows {

void defineAutograd(napi_env env, napi_value exports);

}  // namespace mallows
