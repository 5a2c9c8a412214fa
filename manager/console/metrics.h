/* /metrics for Prometheus, from the plugin's `status`. */
#pragma once

#include "server.h"

void metrics_answer(struct exchange *exchange, const struct view *status);
