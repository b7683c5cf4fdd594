# RIDE on the GLT benchmarks; class weights come an epoch later than the second step of the learning rate.
_base_ = "./experts_r50.py"
model = dict(
    backbone=dict(type="MultiExpertResNeXt", groups=32, width_per_group=4),
    head=dict(
        loss=dict(
            type="RIDELoss",
            diversity_weight=0.2,
            temperature_spread=0.02,
            class_weight="effective_number",
            reweight_from=81,
        )
    ),
)
# What a variant takes to train the experts with cross-entropy alone.
experts_ce = dict(
    model=dict(head=dict(loss=dict(max_margin=0.0, diversity_weight=0.0, class_weight=None, reweight_from=0)))
)
