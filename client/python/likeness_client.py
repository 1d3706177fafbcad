"""likeness from Python: scores, maps and gradients of arrays and files over gRPC, and a loss for PyTorch.

Needs grpcio, protobuf, numpy and, on sys.path, this folder and the contract's stubs (docs/python.md says how to make
them). The contract, proto/likeness/v1/likeness.proto, has every field; `Client.stub` takes any of its messages.

An image is a numpy array (height, width[, channels]) of uint8, uint16, float16 or float32, floats on the [0, 1] scale,
1 to 4 channels: gray, gray + alpha, RGB, RGBA; or the bytes of a PNG, JPEG or WebP file.
"""

from typing import NamedTuple, Optional

import grpc
import numpy as np

from likeness.v1 import likeness_pb2 as pb
from likeness.v1 import likeness_pb2_grpc

_TYPES = {
    np.dtype(np.uint8): pb.DATA_TYPE_UINT8,
    np.dtype(np.uint16): pb.DATA_TYPE_UINT16,
    np.dtype(np.float16): pb.DATA_TYPE_FLOAT16,
    np.dtype(np.float32): pb.DATA_TYPE_FLOAT32,
}


class Score(NamedTuple):
    """map and gradient: float32 arrays (height, width, channels), read-only; None where not asked for or not there."""

    score: float
    map: Optional[np.ndarray]
    gradient: Optional[np.ndarray]


class ScoringError(Exception):
    """A pair, or one of its metrics, that could not be scored. `code` is a grpc.StatusCode, as of a failed call."""

    def __init__(self, code, message):
        super().__init__(f"{code.name}: {message}")
        self.code = code


def image(source):
    """The contract's Image."""
    if isinstance(source, bytes):
        return pb.Image(encoded=source)
    array = np.asarray(source)
    if array.ndim not in (2, 3) or array.dtype not in _TYPES:
        raise TypeError(
            f"an image of shape {array.shape} and type {array.dtype}; it must have 2 or 3 axes (height, width, "
            f"channels) and be {', '.join(map(str, _TYPES))}, or the bytes of a file"
        )
    height, width, channels = array.shape if array.ndim == 3 else (*array.shape, 1)
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return pb.Image(
        raw=pb.RawImage(data=data, width=width, height=height, channels=channels, data_type=_TYPES[array.dtype])
    )


def metric(name, want_map=False, want_gradient=False, **parameters):
    """One metric to ask for: metric("ssim", want_map=True), metric("huber", delta=0.1)."""
    request = pb.MetricRequest(metric=name, want_map=want_map, want_gradient=want_gradient)
    for key, value in parameters.items():
        kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
        setattr(request.parameters[key], kind, value)
    return request


def loss(terms, want_gradient=True):
    """A weighted sum of metrics, as one: loss({"faceswap/ssim": 1.0, "mae": 0.5})."""
    summed = [pb.Term(metric=name, weight=weight) for name, weight in terms.items()]
    return pb.MetricRequest(terms=summed, want_gradient=want_gradient)


def _array(tensor):
    if not tensor.data:
        return None
    planar = tensor.layout == pb.LAYOUT_CHW
    size = (tensor.height, tensor.width)
    shape = (tensor.channels, *size) if planar else (*size, tensor.channels)
    array = np.frombuffer(tensor.data, "<f4").reshape(shape)
    return array.transpose(1, 2, 0) if planar else array


def _scores(results):
    scores = []
    for result in results:
        if result.code != 0:
            raise ScoringError(_status_code(result.code), f"{result.metric}: {result.message}")
        scores.append(Score(result.score, _array(result.map), _array(result.gradient)))
    return scores


def _scores_or_error(response):
    if response.code != 0:
        return ScoringError(_status_code(response.code), response.message)
    try:
        return _scores(response.results)
    except ScoringError as error:
        return error


def _status_code(number):
    return next(code for code in grpc.StatusCode if code.value[0] == number)


def _request(reference, distorted, metrics, request_id=""):
    asked = [metric(name) if isinstance(name, str) else name for name in metrics]
    return pb.ScoreRequest(
        request_id=request_id, reference=image(reference), distorted=image(distorted), metrics=asked
    )


class Client:
    """Thread safe. Calls raise grpc.RpcError with the server's code and message."""

    def __init__(self, target="localhost:50051", timeout=60.0):
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(target, unlimited)
        self.stub = likeness_pb2_grpc.ScoringServiceStub(self.channel)
        self.timeout = timeout

    def score(self, reference, distorted, *metrics):
        """A Score for each of the metrics, which are names or what metric() and loss() make."""
        response = self.stub.Score(_request(reference, distorted, metrics), timeout=self.timeout)
        return _scores(response.results)

    def score_pairs(self, pairs, *metrics, timeout=None):
        """Yields (index, scores) for each (reference, distorted) of an iterable, over one stream and as they are done.

        `scores` is a ScoringError where a pair could not be scored; with code RESOURCE_EXHAUSTED it may be that the
        server had no room for it, and has later. The iterable runs on a thread of gRPC's; what it raises is raised here
        once the pairs before are done. `timeout` is the whole stream's; None: no limit.
        """
        raised = []

        def requests():
            try:
                for i, pair in enumerate(pairs):
                    yield _request(*pair, metrics, request_id=str(i))
            except Exception as error:  # gRPC would put an error of its own in its place
                raised.append(error)

        call = self.stub.ScoreStream(requests(), timeout=timeout)
        try:
            for response in call:
                yield int(response.request_id), _scores_or_error(response)
        finally:
            call.cancel()  # where the caller has left the loop
        if raised:
            raise raised[0]


def torch_loss(client, terms):
    """loss(distorted, reference) for tensors (batch, channels, height, width) on [0, 1]: the mean over the batch of the
    weighted sum of metrics, with its gradient by `distorted`. Lower must be better.

    Raises ScoringError when a pair could not be scored, and grpc.RpcError when that takes longer than the client's timeout
    for each pair."""
    import torch

    asked = loss(terms)

    class RemoteLoss(torch.autograd.Function):
        @staticmethod
        def forward(context, distorted, reference):
            if distorted.dim() != 4 or distorted.shape != reference.shape or len(distorted) == 0:
                raise ValueError(
                    f"distorted has shape {tuple(distorted.shape)}, reference {tuple(reference.shape)}; both must be one "
                    "(batch, channels, height, width) with a batch of 1 at least"
                )
            arrays = [x.detach().permute(0, 2, 3, 1).float().cpu().numpy() for x in (reference, distorted)]
            total, gradient = 0.0, torch.empty_like(distorted)
            timeout = None if client.timeout is None else client.timeout * len(distorted)
            for index, scores in client.score_pairs(zip(*arrays), asked, timeout=timeout):
                if isinstance(scores, ScoringError):
                    raise scores
                total += scores[0].score
                gradient[index] = torch.tensor(scores[0].gradient).permute(2, 0, 1)
            context.save_for_backward(gradient / len(distorted))
            return distorted.new_tensor(total / len(distorted))

        @staticmethod
        def backward(context, upstream):
            (gradient,) = context.saved_tensors
            return upstream * gradient, None

    return RemoteLoss.apply
