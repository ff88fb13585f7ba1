"""Networks of which every weight matters."""

import torch
from torch import nn

from asem.model.unet import UNet, initialize_weights


def seeded(config):
    """A network in evaluation mode, whose biases and batch norms have something to say."""
    net = UNet(config)
    generator = torch.Generator().manual_seed(3)
    initialize_weights(net, generator)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data = 0.5 + torch.rand(values.shape, generator=generator)
        elif isinstance(module, nn.Conv3d) and module.bias is not None:
            module.bias.data = 0.1 * torch.randn(module.bias.shape, generator=generator)
    return net.eval()
