"""What Kafka calls us, as far as the settings say."""

from scorer.kafka.certificate import certificate_in
from scorer.kafka.tokens import claims_of, tokens
from scorer.runtime.secret_files import secret_in
from scorer.runtime.settings import Settings, SettingsError


def principal(settings: Settings) -> str:
    """The principal that a broker makes of our login, if it has no rules of its own for that."""
    return f"User:{user(settings)}"


def user(settings: Settings) -> str:
    """Its name. In place of one that only the broker knows stands a word that says whence it comes."""
    if settings.sasl_mechanism == "OAUTHBEARER":
        otherwise = "SUBJECT-OF-THE-TOKEN"
    elif settings.sasl_mechanism is not None:
        otherwise = "SCORER_SASL_USERNAME_FILE"
    else:
        otherwise = "ANONYMOUS" if settings.tls_cert_file is None else "SUBJECT-OF-THE-CERTIFICATE"
    return known_user(settings) or otherwise


def known_user(settings: Settings) -> str | None:
    """Its name if the settings and their files say it; None also without a login."""
    if settings.sasl_mechanism == "OAUTHBEARER":
        return _subject_of_token(settings)
    if settings.sasl_mechanism is not None:
        return _username(settings)
    certificate = None if settings.tls_cert_file is None else certificate_in(settings.tls_cert_file)
    return None if certificate is None else certificate.subject


def _username(settings: Settings) -> str | None:
    if settings.sasl_username_file is None:
        return settings.sasl_username
    try:
        return secret_in("sasl_username_file", settings.sasl_username_file)
    except SettingsError:
        return None


def _subject_of_token(settings: Settings) -> str | None:
    token = tokens(settings).latest
    if token is None and settings.sasl_oauth_token_file is not None:
        try:
            token = secret_in("sasl_oauth_token_file", settings.sasl_oauth_token_file)
        except SettingsError:
            return None
    subject = None if token is None else claims_of(token.strip()).get("sub")
    return subject if isinstance(subject, str) and subject else None
