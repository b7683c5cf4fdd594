_base_ = "../ce/ce_r32_digits.py"
model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type="WeightedCrossEntropyLoss",
            class_weight="effective_number",
            weight_beta=0.9999,
            normalize_by="batch",
        )
    )
)
