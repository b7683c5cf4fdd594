# Other numbers of experts, for methods that do not fix it; variants = dict(**_base_.numbers_of_experts) makes
# CONFIG.py:experts2 and so on.
numbers_of_experts = {
    f"experts{number}": dict(model=dict(backbone=dict(num_experts=number), head=dict(num_experts=number)))
    for number in (2, 4, 6)
}
