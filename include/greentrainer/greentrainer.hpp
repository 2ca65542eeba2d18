#pragma once

// Everything but backends. Include a backend beside it, e.g. <greentrainer/backends/eigen.hpp>.

#include "greentrainer/core/version.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/classifier.hpp"
#include "greentrainer/models/detached_context.hpp"
#include "greentrainer/models/hand_built.hpp"
#include "greentrainer/pretrained/check_save.hpp"
#include "greentrainer/pretrained/generate_text.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "greentrainer/pretrained/load_examples.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/pretrained/save_adapter.hpp"
#include "greentrainer/pretrained/save_pretrained.hpp"
#include "greentrainer/pretrained/weights_as_saved.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "greentrainer/train/predict.hpp"
#include "greentrainer/train/run_forecast.hpp"
#include "greentrainer/train/trainer.hpp"
#include "greentrainer/train/weights_file.hpp"
