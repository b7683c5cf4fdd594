# The attribute term of LPA (docs/lpa.md) beside another contrastive loss of temperature 0.1: variants by data and
# epochs. As in configs/lpa its weight is 0.1, and attributes are found from a tenth of the epochs on. A config with
# hooks of its own lists them with it.
def _attributes(num_attributes, start, interval):
    return dict(
        model=dict(aux_losses=dict(attribute=dict(type="AttributePositives", num_attributes=num_attributes))),
        custom_hooks=[
            dict(type="ReclusterHook", task=dict(type="AttributeClustering"), start=start, interval=interval)
        ],
    )


attributes = dict(
    cifar_1000e=_attributes(128, 100, 10),
    cifar_200e=_attributes(128, 20, 10),
    digits=_attributes(32, 5, 5),
)
