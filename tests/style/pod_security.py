"""Which of the Pod Security Standards a pod meets: `privileged` (all do), `baseline` or `restricted`.

For pods on Linux, after "Pod Security Standards" of Kubernetes' documentation. Annotations are not looked at. The
fields in UNKNOWN, which no manifest of ours has, are a breach of `baseline` with whatever value. Otherwise it judges
as it should all pods in the test data of k8s.io/pod-security-admission for Kubernetes 1.25, 1.34 and 1.37 (compared
by hand).
"""

BASELINE_CAPABILITIES = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
                         "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
                      "projected", "secret"}
UNKNOWN = ("appArmorProfile", "procMount", "seLinuxOptions", "sysctls", "windowsOptions")


def level(pod):
    if breaches_of_baseline(pod):
        return "privileged"
    return "baseline" if breaches_of_restricted(pod) else "restricted"


def breaches_of_baseline(pod):
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    found += [f"volume {volume['name']}: hostPath" for volume in pod.get("volumes", []) if "hostPath" in volume]
    for name, security in _securities(pod):
        found += [f"{name}: {field}" for field in UNKNOWN if field in security]
        if security.get("privileged"):
            found.append(f"{name}: privileged")
        if _seccomp(security) == "Unconfined":
            found.append(f"{name}: no seccomp")
        for capability in set(security.get("capabilities", {}).get("add", [])) - BASELINE_CAPABILITIES:
            found.append(f"{name}: {capability}")
    for container in _containers(pod):
        if any(port.get("hostPort") for port in container.get("ports", [])):
            found.append(f"{container['name']}: hostPort")
        handlers = [container.get(probe, {}) for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
        handlers += container.get("lifecycle", {}).values()
        if any(action.get("host") for handler in handlers for action in handler.values() if isinstance(action, dict)):
            found.append(f"{container['name']}: host of a probe")
    return found


def breaches_of_restricted(pod):
    found = breaches_of_baseline(pod)
    for volume in pod.get("volumes", []):
        found += [f"volume {volume['name']}: {kind}" for kind in volume.keys() - {"name"} - RESTRICTED_VOLUMES]
    of_pod = pod.get("securityContext", {})
    if of_pod.get("runAsUser") == 0:
        found.append("the pod: root")
    for container in _containers(pod):
        own = container.get("securityContext", {})
        security = {**of_pod, **own}
        capabilities = own.get("capabilities", {})
        for breach, what in ((own.get("allowPrivilegeEscalation") is not False, "may gain privileges"),
                             (security.get("runAsNonRoot") is not True, "may be root"),
                             (security.get("runAsUser") == 0, "root"),
                             (_seccomp(security) not in ("RuntimeDefault", "Localhost"), "no seccomp"),
                             ("ALL" not in capabilities.get("drop", []), "keeps capabilities"),
                             (set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}, "adds capabilities")):
            if breach:
                found.append(f"{container['name']}: {what}")
    return found


def _containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"], *pod.get("ephemeralContainers", [])]


def _securities(pod):
    return [("the pod", pod.get("securityContext", {}))] + [
        (container["name"], container.get("securityContext", {})) for container in _containers(pod)]


def _seccomp(security):
    return security.get("seccompProfile", {}).get("type")
