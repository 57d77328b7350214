from . import ModelSettings


async def get_model_uri(settings: ModelSettings, wellknown_filenames: list[str] = []) -> str:
    if not settings.parameters or not settings.parameters.uri:
        raise ValueError(settings.name)
    return settings.parameters.uri
