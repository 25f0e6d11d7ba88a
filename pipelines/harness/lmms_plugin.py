"""Entry point of lmms-eval (group ``lmms_eval.models``): says where our model is, and loads nothing."""

from typing import Any

MODEL_ID = "longllava_domains"


def manifest() -> Any:
    """Return lmms-eval's manifest of our model; called by lmms-eval itself."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id=MODEL_ID,
        simple_class_path="longllava_domains.pipelines.harness.lmms_model.LongLlavaLmms",
    )
