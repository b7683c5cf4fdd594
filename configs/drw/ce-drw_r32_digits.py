_base_ = "../ce/ce_r32_digits.py"
model = dict(
    head=dict(
        loss=dict(_delete_=True, type="WeightedCrossEntropyLoss", class_weight="effective_number", reweight_from=24)
    )
)
