"""The table of every model: explicit, below the modules it names, importing none until asked.

`models` builds from it, `training` resolves names through it, and a completeness test ties it to tests and docs.
A row is all it takes to add a model; nothing is registered by import side effect.
"""

import importlib
import inspect
from dataclasses import dataclass
from typing import Any, Literal

from spikeneuro._validation import check_choice, suggestion
from spikeneuro.errors import InputError

Inputs = Literal["signal", "image", "features"]

#: What kind of input a recording of each modality is for a model.
INPUTS_OF_MODALITY: dict[str, Inputs] = {
    "eeg": "signal",
    "ecg": "signal",
    "fmri": "signal",
    "signal": "signal",
    "image": "image",
    "features": "features",
}


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table.

    Attributes
    ----------
    name : str
        Public name, as users type it.
    target : str
        ``module:attribute`` of the class (network) or builder function (pipeline).
    inputs : tuple of {"signal", "image", "features"}
        Input kinds: ``(batch, channels, times)``, ``(batch, channels, height, width)``, ``(batch, features)``.
    kind : {"network", "pipeline"}
        A torch module trained by the estimators, or a scikit-learn estimator that trains itself.
    spiking : bool
        Whether spikes carry the signal inside.
    tasks : tuple of {"classification", "regression", "steps"}
        What it can be trained for; "steps" is one label per time step.
    reference : str
        Paper or book, with DOI where there is one.
    summary : str
        One line for listings.
    extra : str, optional
        The extra of this package that installs what it needs.
    """

    name: str
    target: str
    inputs: tuple[Inputs, ...]
    kind: Literal["network", "pipeline"]
    spiking: bool
    tasks: tuple[str, ...]
    reference: str
    summary: str
    extra: str | None = None

    def load(self) -> Any:
        """Import and return the class or builder."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def build(self, **parameters: Any) -> Any:
        """Build the model: a torch module, or an unfitted scikit-learn estimator.

        Raises
        ------
        InputError
            If a parameter is missing, or unknown: then the message offers the nearest one.
        """
        target = self.load()
        known = inspect.signature(target).parameters
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        for given in parameters:
            if given not in known and not open_ended:
                raise InputError(f"model {self.name!r} has no parameter {given!r}; {suggestion(given, known)}")
        missing = [
            key
            for key, p in known.items()
            if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and key not in parameters
        ]
        if missing:
            raise InputError(f"model {self.name!r} needs {', '.join(missing)}.")
        return target(**parameters)


MODELS: tuple[ModelEntry, ...] = (
    # networks
    ModelEntry(
        name="spiking-eegnet",
        target="spikeneuro.models.spiking_eegnet:SpikingEEGNet",
        inputs=("signal",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression"),
        reference="after Lawhern et al. (2018), doi:10.1088/1741-2552/aace8c",
        summary="EEGNet's convolutions with spiking neurons of many time constants",
    ),
    ModelEntry(
        name="recurrent-snn",
        target="spikeneuro.models.recurrent_snn:RecurrentSNN",
        inputs=("signal",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression", "steps"),
        reference="Yin, Corradi and Bohte (2021), doi:10.1038/s42256-021-00397-w",
        summary="encoder, recurrent spiking layers, readout",
    ),
    ModelEntry(
        name="rhythm-snn",
        target="spikeneuro.models.rhythm_snn:RhythmSNN",
        inputs=("signal",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression", "steps"),
        reference="Yan et al. (2025), doi:10.1038/s41467-025-63771-x",
        summary="spiking layers whose neurons are ON in a rhythm of their own",
    ),
    ModelEntry(
        name="hrsnn",
        target="spikeneuro.models.hrsnn:HRSNN",
        inputs=("signal",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression", "steps"),
        reference="Chakraborty and Mukhopadhyay (2023), doi:10.3389/fnins.2023.994517",
        summary="excitatory and inhibitory neurons of many time constants on a grid, with plastic connections",
    ),
    ModelEntry(
        name="spiking-cnn2d",
        target="spikeneuro.models.spiking_cnn2d:SpikingCNN2d",
        inputs=("image",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression"),
        reference="Wu et al. (2019), doi:10.1609/aaai.v33i01.33011311",
        summary="convolutional spiking network for images",
    ),
    ModelEntry(
        name="spiking-mlp",
        target="spikeneuro.models.mlp:SpikingMLP",
        inputs=("features",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression"),
        reference="Neftci, Mostafa and Zenke (2019), doi:10.1109/MSP.2019.2931595",
        summary="spiking multilayer perceptron for feature vectors",
    ),
    ModelEntry(
        name="converted-cnn1d",
        target="spikeneuro.training.conversion.networks:ConvertedCNN1d",
        inputs=("signal",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression"),
        reference="Bu et al. (2022), arXiv:2303.04347",
        summary="cnn1d trained with quantised activations, run as integrate-and-fire neurons",
    ),
    ModelEntry(
        name="converted-cnn2d",
        target="spikeneuro.training.conversion.networks:ConvertedCNN2d",
        inputs=("image",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression"),
        reference="Bu et al. (2022), arXiv:2303.04347",
        summary="cnn2d trained with quantised activations, run as integrate-and-fire neurons",
    ),
    ModelEntry(
        name="converted-mlp",
        target="spikeneuro.training.conversion.networks:ConvertedMLP",
        inputs=("features",),
        kind="network",
        spiking=True,
        tasks=("classification", "regression"),
        reference="Bu et al. (2022), arXiv:2303.04347",
        summary="mlp trained with quantised activations, run as integrate-and-fire neurons",
    ),
    ModelEntry(
        name="cnn1d",
        target="spikeneuro.models.cnn1d:CNN1d",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Wang, Yan and Oates (2017), doi:10.1109/IJCNN.2017.7966039",
        summary="1-D convolutional network for signals",
    ),
    ModelEntry(
        name="cnn2d",
        target="spikeneuro.models.cnn2d:CNN2d",
        inputs=("image",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="LeCun et al. (1998), doi:10.1109/5.726791",
        summary="2-D convolutional network for images",
    ),
    ModelEntry(
        name="lstm",
        target="spikeneuro.models.recurrent_ann:LSTM",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression", "steps"),
        reference="Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735",
        summary="long short-term memory network",
    ),
    ModelEntry(
        name="gru",
        target="spikeneuro.models.recurrent_ann:GRU",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression", "steps"),
        reference="Cho et al. (2014), doi:10.3115/v1/D14-1179",
        summary="gated recurrent unit network",
    ),
    ModelEntry(
        name="cfc",
        target="spikeneuro.models.liquid:CfC",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression", "steps"),
        reference="Hasani et al. (2022), doi:10.1038/s42256-022-00556-7",
        summary="closed-form continuous-time (liquid) network",
        extra="liquid",
    ),
    ModelEntry(
        name="ltc",
        target="spikeneuro.models.liquid:LTC",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression", "steps"),
        reference="Hasani et al. (2021), doi:10.1609/aaai.v35i9.16936",
        summary="liquid time-constant network of conductance-based neurons",
        extra="liquid",
    ),
    ModelEntry(
        name="mlp",
        target="spikeneuro.models.mlp:MLP",
        inputs=("features",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Rumelhart, Hinton and Williams (1986), doi:10.1038/323533a0",
        summary="multilayer perceptron for feature vectors",
    ),
    ModelEntry(
        name="eegnet",
        target="spikeneuro.models.braindecode_nets:EEGNet",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Lawhern et al. (2018), doi:10.1088/1741-2552/aace8c",
        summary="EEGNet-8,2: compact convolutional network for EEG",
        extra="eeg",
    ),
    ModelEntry(
        name="shallow-fbcsp",
        target="spikeneuro.models.braindecode_nets:ShallowFBCSP",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Schirrmeister et al. (2017), doi:10.1002/hbm.23730",
        summary="shallow convolutional network with log band power",
        extra="eeg",
    ),
    ModelEntry(
        name="deep4",
        target="spikeneuro.models.braindecode_nets:Deep4",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Schirrmeister et al. (2017), doi:10.1002/hbm.23730",
        summary="four-block deep convolutional network for EEG",
        extra="eeg",
    ),
    ModelEntry(
        name="eeg-conformer",
        target="spikeneuro.models.braindecode_attention:EEGConformer",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Song et al. (2023), doi:10.1109/TNSRE.2022.3230250",
        summary="convolutions and a transformer encoder for EEG",
        extra="eeg",
    ),
    ModelEntry(
        name="atcnet",
        target="spikeneuro.models.braindecode_attention:ATCNet",
        inputs=("signal",),
        kind="network",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Altaheri, Muhammad and Alsulaiman (2023), doi:10.1109/TII.2022.3197419",
        summary="attention and temporal convolutions over sliding windows",
        extra="eeg",
    ),
    # pipelines
    ModelEntry(
        name="bandpower-lda",
        target="spikeneuro.models.classical.pipelines:build_bandpower_lda",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification",),
        reference="Ledoit and Wolf (2004), doi:10.1016/S0047-259X(03)00096-4",
        summary="log band power, shrinkage discriminant analysis",
    ),
    ModelEntry(
        name="bandpower-forest",
        target="spikeneuro.models.classical.pipelines:build_bandpower_forest",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Breiman (2001), doi:10.1023/A:1010933404324",
        summary="log band power, random forest",
    ),
    ModelEntry(
        name="csp-lda",
        target="spikeneuro.models.classical.pipelines:build_csp_lda",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification",),
        reference="Blankertz et al. (2008), doi:10.1109/MSP.2008.4408441",
        summary="common spatial patterns, shrinkage discriminant analysis",
    ),
    ModelEntry(
        name="tangent-space-lr",
        target="spikeneuro.models.classical.pipelines:build_tangent_space_lr",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification",),
        reference="Barachant et al. (2012), doi:10.1109/TBME.2011.2172210",
        summary="Riemannian tangent space of covariances, logistic regression",
        extra="eeg",
    ),
    ModelEntry(
        name="cca-ssvep",
        target="spikeneuro.models.classical.pipelines:build_cca_ssvep",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification",),
        reference="Lin et al. (2006), doi:10.1109/TBME.2006.886577",
        summary="canonical correlation with sines of the flicker frequencies",
    ),
    ModelEntry(
        name="trace-lr",
        target="spikeneuro.models.classical.traces:build_trace_lr",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("steps",),
        reference="traces after Yin, Corradi and Bohte (2021), doi:10.1038/s42256-021-00397-w",
        summary="leaky traces of events, logistic regression on every time step",
    ),
    ModelEntry(
        name="echo-state",
        target="spikeneuro.models.classical.reservoirs:build_echo_state",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression", "steps"),
        reference="Jaeger (2001), doi:10.24406/publica-fhg-291111",
        summary="echo-state network: fixed random recurrence, ridge readout",
    ),
    ModelEntry(
        name="deep-echo-state",
        target="spikeneuro.models.classical.reservoirs:build_deep_echo_state",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression", "steps"),
        reference="Gallicchio, Micheli and Pedrelli (2017), doi:10.1016/j.neucom.2016.12.089",
        summary="deep echo-state network: layers of reservoirs, ridge readout",
    ),
    ModelEntry(
        name="liquid-state-machine",
        target="spikeneuro.models.classical.reservoirs:build_liquid_state_machine",
        inputs=("signal",),
        kind="pipeline",
        spiking=True,
        tasks=("classification", "regression", "steps"),
        reference="Maass, Natschläger and Markram (2002), doi:10.1162/089976602760407955",
        summary="liquid state machine: fixed spiking recurrence, linear readout of traces",
    ),
    ModelEntry(
        name="neucube",
        target="spikeneuro.models.classical.neucube:build_neucube",
        inputs=("signal",),
        kind="pipeline",
        spiking=True,
        tasks=("classification", "regression"),
        reference="Kasabov (2014), doi:10.1016/j.neunet.2014.01.006",
        summary="brain-shaped spiking reservoir that learns by spike timing, deSNN readout; needs names or positions",
    ),
    ModelEntry(
        name="connectivity-ridge",
        target="spikeneuro.models.classical.connectivity:build_connectivity_ridge",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Dadi et al. (2019), doi:10.1016/j.neuroimage.2019.02.062",
        summary="correlations between regions, ridge",
    ),
    ModelEntry(
        name="connectivity-svm",
        target="spikeneuro.models.classical.connectivity:build_connectivity_svm",
        inputs=("signal",),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Abraham et al. (2017), doi:10.1016/j.neuroimage.2016.10.045",
        summary="correlations between regions, support vector machine",
    ),
    ModelEntry(
        name="pca-svm",
        target="spikeneuro.models.classical.flat:build_pca_svm",
        inputs=("signal", "image", "features"),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Cortes and Vapnik (1995), doi:10.1007/BF00994018",
        summary="principal components, support vector machine",
    ),
    ModelEntry(
        name="linear-svm",
        target="spikeneuro.models.classical.flat:build_linear_svm",
        inputs=("signal", "image", "features"),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Cortes and Vapnik (1995), doi:10.1007/BF00994018",
        summary="linear support vector machine on flattened samples",
    ),
    ModelEntry(
        name="logistic-regression",
        target="spikeneuro.models.classical.flat:build_logistic_regression",
        inputs=("signal", "image", "features"),
        kind="pipeline",
        spiking=False,
        tasks=("classification",),
        reference="Cox (1958), doi:10.1111/j.2517-6161.1958.tb00292.x",
        summary="multinomial logistic regression on flattened samples",
    ),
    ModelEntry(
        name="ridge",
        target="spikeneuro.models.classical.flat:build_ridge",
        inputs=("signal", "image", "features"),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Hoerl and Kennard (1970), doi:10.1080/00401706.1970.10488634",
        summary="ridge classification or regression on flattened samples",
    ),
    ModelEntry(
        name="nearest-neighbour",
        target="spikeneuro.models.classical.flat:build_nearest_neighbour",
        inputs=("signal", "image", "features"),
        kind="pipeline",
        spiking=False,
        tasks=("classification", "regression"),
        reference="Cover and Hart (1967), doi:10.1109/TIT.1967.1053964",
        summary="label of the nearest training sample",
    ),
)


def entry(name: str) -> ModelEntry:
    """Row of the model called `name`; an unknown name raises with the nearest known one."""
    for row in MODELS:
        if row.name == name:
            return row
    raise InputError(f"unknown model {name!r}; {suggestion(name, [row.name for row in MODELS])}")


def names(
    modality: str | None = None,
    spiking: bool | None = None,
    kind: str | None = None,
    task: str | None = None,
) -> list[str]:
    """Names of the models that fit, in the order of the table.

    Parameters
    ----------
    modality : {"eeg", "ecg", "fmri", "signal", "image", "features"}, optional
        Only models that take this modality's input.
    spiking : bool, optional
        Only spiking (True) or only non-spiking (False) models.
    kind : {"network", "pipeline"}, optional
        Only torch networks or only scikit-learn pipelines.
    task : {"classification", "regression", "steps"}, optional
        Only models that can be trained for it.

    Returns
    -------
    list of str
        Names that suites, estimators and `models.create` take.
    """
    inputs = None if modality is None else INPUTS_OF_MODALITY[check_choice(modality, INPUTS_OF_MODALITY, "modality")]
    return [
        row.name
        for row in MODELS
        if (inputs is None or inputs in row.inputs)
        and (spiking is None or row.spiking == spiking)
        and (kind is None or row.kind == kind)
        and (task is None or task in row.tasks)
    ]
