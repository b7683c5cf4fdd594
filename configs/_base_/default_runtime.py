default_scope = "mmpretrain"
custom_imports = dict(imports=["lt_plugins.plugins"], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type="DeferredInfoHook"),
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="SafeCheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="VisualizationHook", enable=False),
    memory=dict(type="PeakMemoryHook"),
    finite=dict(type="FiniteTrainingHook"),
    run_log=dict(type="RunLogHook"),
    accumulation=dict(type="AccumulationHook"),
    memory_format=dict(type="MemoryFormatHook"),
    averaged_model=dict(type="AveragedModelHook"),
    teachers=dict(type="TeacherHook"),
    run_record=dict(type="RunRecordHook"),
    class_distribution=dict(type="ClassDistributionHook"),
    checkpoint_fit=dict(type="CheckpointFitHook"),
    preflight=dict(type="PreflightHook"),
    epoch_seed=dict(type="EpochSeedHook"),
    epoch=dict(type="EpochHook"),
)
custom_hooks = []  # those of the method

env_cfg = dict(
    # benchmark=True is faster on fixed sizes but chooses its algorithms by timing, so runs differ in the last bits.
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),  # tools/train.py takes gloo on a machine without GPU
)

# TensorBoard: visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]).
visualizer = dict(type="UniversalVisualizer", vis_backends=[dict(type="LocalVisBackend")])
log_level = "INFO"

load_from = None
resume = False

# deterministic=True makes CUDA repeat a run bit for bit too; it is slower, and a few operations refuse to run.
randomness = dict(seed=0, deterministic=False)
