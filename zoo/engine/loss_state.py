"""What a forward pass changes: moving statistics, seeds."""


def loss_state(model) -> list:
    """What the losses themselves may change: not weights that are frozen."""
    layers = model._flatten_layers()
    frozen = {id(v) for layer in layers for v in layer._trainable_variables}
    return [v for v in model.non_trainable_variables if id(v) not in frozen]
