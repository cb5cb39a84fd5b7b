"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("pick");
  const views = document.getElementById("views");
  const status = document.getElementById("status");
  const percent = (fraction) => `${(100 * fraction).toFixed(fraction < 0.1 ? 1 : 0)}%`;
  const withArticle = (noun) => `${/^[aeiou]/i.test(noun) ? "An" : "A"} ${noun}`;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const draw = (tag, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const scale = ([low, high], label) =>
    make("p", { class: "scale" }, make("span", {}, `${low}`), make("i", { "aria-hidden": "true" }),
      make("span", {}, `${high}`), ` ${label}`);

  const prediction = (run, image, index) => {
    const [best] = run.predictions[index];
    const truth = data.classes[image.truth];
    const right = best[0] === image.truth;
    const bars = make("ol", { class: "bars", "aria-label": "Probabilities" });
    for (const [label, fraction] of run.predictions[index]) {
      const kind = label === image.truth ? "fill" : label === best[0] ? "fill wrong" : "fill other";
      const fill = make("i", { class: kind, style: `width:${100 * fraction}%` });
      bars.append(make("li", {}, make("span", { class: "name" }, data.classes[label]),
        make("span", { class: "track", "aria-hidden": "true" }, fill), make("span", { class: "number" }, percent(fraction))));
    }
    return make("div", { class: "prediction" },
      make("img", { src: image.image, alt: `Test image ${image.index}, of class ${truth}` }),
      make("div", {},
        make("p", { class: right ? "verdict" : "verdict missed" },
          right ? `Classified correctly as ${truth}` : `${withArticle(truth)}, predicted as ${data.classes[best[0]]}`), bars));
  };

  const overlay = (map, image, index, strength) => {
    const over = make("img", { src: map.overlays[index], alt: "", class: "over", style: `opacity:${strength}` });
    const alt = `${map.name} over the image; ${map.notes[index]}`;
    const caption = make("figcaption", {}, make("strong", {}, map.name), make("span", {}, map.reading),
      make("span", { class: "measure" }, map.notes[index]));
    if (map.scale) caption.append(scale(map.scale, map.unit));
    return make("figure", {}, make("div", { class: "stack", role: "img", "aria-label": alt },
      make("img", { src: image.image, alt: "" }), over), caption);
  };

  const features = (layer, name, index) => {
    const [height, width, channels] = layer.shape;
    const text = `${layer.shown < channels ? `The first ${layer.shown} of ${channels}` : `All ${channels}`} channels of ${name}, ${height} × ${width} each`;
    return make("figure", { class: "features" },
      make("img", { src: layer.features[index], alt: `${text}, from ${layer.limits[0]} to ${layer.limits[1]}` }),
      make("figcaption", {}, make("span", {}, `${text}. One scale for all images.`), scale(layer.limits, "activation")));
  };

  const gate = (one, index) => {
    const weights = one.weights[index];
    const [low, high] = one.limits;
    const width = 320, height = 110;
    const x = (i) => (i / weights.length) * width;
    const y = (value) => height - ((value - low) / (high - low)) * height;
    const moved = Math.sqrt(weights.reduce((sum, w, i) => sum + (w - one.mean[i]) ** 2, 0) / weights.length);
    const text = `weights from ${Math.min(...weights).toFixed(2)} to ${Math.max(...weights).toFixed(2)}; ` +
      `${moved.toFixed(3)} from the mean over all images`;
    const zero = y(Math.max(0, low));
    const bars = weights.map((w, i) => draw("rect", { class: "bar", x: x(i), width: (width / weights.length) * 0.86,
      y: Math.min(y(w), zero), height: Math.abs(y(w) - zero) }));
    const mean = one.mean.map((w, i) => `M${x(i)} ${y(w)}H${x(i + 1)}`).join("");
    return make("figure", { class: "gate" },
      draw("svg", { viewBox: `0 -2 ${width} ${height + 4}`, role: "img", preserveAspectRatio: "none", "aria-label": `Gate ${one.name}: ${text}` },
        draw("line", { class: "grid", x1: 0, x2: width, y1: y(low), y2: y(low) }),
        draw("line", { class: "grid", x1: 0, x2: width, y1: y(high), y2: y(high) }),
        ...bars, draw("path", { class: "mean", d: mean })),
      make("figcaption", {}, make("strong", {}, one.name),
        make("span", {}, `Bars: weight of each channel for this image, from ${low} to ${high}. Line: mean over all images.`),
        make("span", { class: "measure" }, text)));
  };

  const group = (title, figures, kind) =>
    figures.length ? [make("h4", {}, title), make("div", { class: kind }, ...figures)] : [];

  const show = () => {
    const index = Number(form.elements.image.value);
    const name = form.elements.layer.value;
    const strength = Number(form.elements.strength.value) / 100;
    const image = data.images[index];
    const several = data.runs.length > 1;
    const parts = data.runs.map((run) => {
      const part = make("div", { class: "card view" });
      if (several) part.append(make("h3", {}, run.name));
      part.append(prediction(run, image, index));
      const layer = run.layers[name];
      if (!layer) {
        part.append(make("p", { class: "note" }, `This network has no ${name}.`));
        return part;
      }
      const gates = run.gates.filter((one) => one.block === layer.block).map((one) => gate(one, index));
      part.append(
        ...group("Maps over the image", layer.maps.map((map) => overlay(map, image, index, strength)), "maps"),
        make("div", { class: "pair" },
          make("div", {}, ...group(`Feature maps of ${name}`, [features(layer, name, index)], "")),
          make("div", {}, ...group("Channel weights of the attention", gates, "gates"))));
      return part;
    });
    views.replaceChildren(...parts);
    const truth = data.classes[image.truth];
    status.textContent = `Test image ${image.index}, ${truth}, at ${name}: ` + data.runs.map((run) => {
      const [label, fraction] = run.predictions[index][0];
      return `predicted${several ? ` by ${run.name}` : ""} as ${data.classes[label]} with ${percent(fraction)}`;
    }).join("; ") + ".";
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => { if (event.target.name !== "strength") show(); });
  form.elements.strength.addEventListener("input", (event) => {
    for (const over of views.querySelectorAll(".over")) over.style.opacity = event.target.value / 100;
  });
  for (const hidden of document.querySelectorAll(".needs-script")) hidden.hidden = false;
  for (const button of document.querySelectorAll("button[data-index]")) {
    const index = data.images.findIndex((image) => image.index === Number(button.dataset.index));
    if (index < 0) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      const radio = form.querySelector(`input[name="image"][value="${index}"]`);
      radio.checked = true;
      show();
      document.getElementById("explorer").scrollIntoView();
      radio.focus({ preventScroll: true });
    });
  }
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
  show();
})();
