"""Task files for lm-eval: ``lm-eval run --include_path`` this folder, or through `bupo.evaluation`."""
