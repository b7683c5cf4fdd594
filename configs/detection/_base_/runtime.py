_base_ = "mmdet::_base_/default_runtime.py"

custom_imports = dict(imports=["lt_plugins.plugins", "lt_plugins.detection"], allow_failed_imports=False)

default_hooks = dict(
    checkpoint=dict(
        _delete_=True, type="mmpretrain.SafeCheckpointHook", by_epoch=False, interval=1000, max_keep_ckpts=1
    ),
    memory=dict(type="mmpretrain.PeakMemoryHook"),
    finite=dict(type="mmpretrain.FiniteTrainingHook"),
    run_log=dict(type="mmpretrain.RunLogHook"),
    precise_bn=dict(type="FinalPreciseBNHook", num_samples=3200),  # 200 batches
    accumulation=dict(type="mmpretrain.AccumulationHook"),
    averaged_model=dict(type="mmpretrain.AveragedModelHook"),
    run_record=dict(type="mmpretrain.RunRecordHook"),
    checkpoint_fit=dict(type="mmpretrain.CheckpointFitHook"),
    preflight=dict(type="DetectionPreflightHook"),
    iteration_seed=dict(type="IterationSeedHook"),
)
sync_bn = "torch"  # of several processes; needs GPUs
custom_hooks = [dict(type="LoadBackboneHook")]  # the checkpoint comes by --backbone

log_processor = dict(by_epoch=False)
randomness = dict(seed=0, deterministic=False)
