/* The search runs in a worker, which browsers deny to pages that are files. There a hidden frame does the worker's job. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.early = []; // messages that came before the script was there
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<!doctype html><title>search</title>";
      frame.addEventListener("load", () => {
        const inside = frame.contentWindow;
        inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }));
        const script = inside.document.createElement("script");
        script.src = new URL(url, location.href).href;
        script.onload = () => {
          this.inside = inside;
          this.early.splice(0).forEach(data => this.postMessage(data));
        };
        inside.document.head.appendChild(script);
      }, { once: true });
      document.documentElement.appendChild(frame);
    }

    postMessage(data) {
      if (this.inside) this.inside.dispatchEvent(new MessageEvent("message", { data }));
      else this.early.push(data);
    }

    terminate() {}
  };
}
