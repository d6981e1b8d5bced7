// Plots with ECharts. An element with data-plot-from="ID" draws what element ID holds in data-plot:
// {labels: [], bars: [{code, name, values}], line: {name, values}}. Colours come from the style sheet, so dark mode is one place.
"use strict";

(() => {
  const COLOURS = {
    INBOUND: "--c1", OUTBOUND: "--c2", BRIDGED: "--c3", NEWCALL: "--c4", EXTERNAL: "--c5", CREATECCXML: "--c6", UNKNOWN: "--c7",
  };
  const drawn = new Map(); // element -> {chart, text}

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // Two plots over one time axis: what is in progress above, arrivals below, so that neither hides the other.
  function option(plot) {
    const soft = colour("--soft"), edge = colour("--edge"), ink = colour("--ink"), panel = colour("--panel"), line = colour("--c-line");
    const bars = plot.bars.map((bar) => ({
      id: bar.code, name: bar.name, type: "bar", stack: "arrivals", data: bar.values, barCategoryGap: "20%", xAxisIndex: 1, yAxisIndex: 1,
      itemStyle: { color: colour(COLOURS[bar.code] || "--c7") },
    }));
    const running = {
      id: "line", name: plot.line.name, type: "line", data: plot.line.values, showSymbol: plot.labels.length < 3, symbol: "circle", symbolSize: 5,
      lineStyle: { color: line, width: 1.6 }, itemStyle: { color: line }, areaStyle: { color: line, opacity: 0.12 },
    };
    const label = { color: soft, fontSize: 11 };
    const x = { type: "category", data: plot.labels, axisTick: { show: false }, axisLine: { lineStyle: { color: edge } } };
    const y = {
      type: "value", minInterval: 1, axisLine: { show: false }, axisTick: { show: false }, axisLabel: label, splitLine: { lineStyle: { color: edge } },
      nameGap: 9, nameTextStyle: { ...label, align: "left", padding: [0, 0, 0, -28] },
    };
    return {
      animation: false,
      backgroundColor: "transparent",
      grid: [{ left: 40, right: 34, top: 52, height: "19%" }, { left: 40, right: 34, top: "48%", bottom: 22 }],
      legend: { top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, itemGap: 16, textStyle: { color: soft, fontSize: 12 }, inactiveColor: edge },
      axisPointer: { link: [{ xAxisIndex: "all" }] },
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true, axisPointer: { type: "shadow", shadowStyle: { color: edge, opacity: 0.35 } },
        backgroundColor: panel, borderColor: edge, borderWidth: 1, textStyle: { color: ink, fontSize: 12 },
      },
      xAxis: [{ ...x, gridIndex: 0, axisLabel: { show: false } }, { ...x, gridIndex: 1, axisLabel: { ...label, hideOverlap: true } }],
      yAxis: [{ ...y, gridIndex: 0, name: "in progress", splitNumber: 2 }, { ...y, gridIndex: 1, name: "arrivals", splitNumber: 4 }],
      series: [...bars, running],
    };
  }

  function draw(element, always) {
    const source = document.getElementById(element.dataset.plotFrom);
    if (!source || !window.echarts || element.clientWidth === 0) return;
    const text = source.dataset.plot;
    const known = drawn.get(element);
    if (known && known.text === text && !always) return;
    const chart = known ? known.chart : echarts.init(element, null, { renderer: "canvas" });
    const plot = JSON.parse(text);
    chart.setOption(option(plot), { replaceMerge: ["series"] });
    drawn.set(element, { chart, text });
    if (!known) new ResizeObserver(() => chart.resize()).observe(element);
  }

  function drawAll(always) {
    document.querySelectorAll("[data-plot-from]").forEach((element) => draw(element, always === true));
  }

  document.addEventListener("DOMContentLoaded", drawAll);
  document.addEventListener("htmx:afterSettle", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
})();
